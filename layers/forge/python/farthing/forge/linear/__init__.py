"""Linear models on n-grams: the baseline of every contest, and often its winner."""
