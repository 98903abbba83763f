"""Teachers: large models that label texts softly for small ones."""
