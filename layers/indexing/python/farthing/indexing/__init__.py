"""Builds indexes from users' files, learns how to rank them, and measures how well they answer."""
