"""One revision a module, named by its number; numbers are compared as text."""
