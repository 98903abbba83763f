"""The deployment files: read, held against the tree and each cloud's rules, and packed."""
