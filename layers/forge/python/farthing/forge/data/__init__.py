"""Labelled sets: read from files, checked, split."""
