"""Making cascades: thresholds chosen on validation rows, proof on test rows."""
