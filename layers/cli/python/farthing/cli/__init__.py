"""The command line; never attached to a function."""
