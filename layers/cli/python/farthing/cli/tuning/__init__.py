"""Times a function on this machine as if it had a platform's share of CPU."""
