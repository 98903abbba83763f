"""An encoder learns from judged searches which documents belong near which queries."""
