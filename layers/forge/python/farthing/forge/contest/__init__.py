"""Candidates side by side: the cheapest that is accurate enough, with a receipt."""
