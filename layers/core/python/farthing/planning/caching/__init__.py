"""What a cache of answers would save, and what each place to keep it in costs."""
