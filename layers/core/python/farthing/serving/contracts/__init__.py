"""The endpoints of the HTTP contract, version 1."""
