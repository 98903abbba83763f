"""Settlement: what instances measured against what the provider recorded, attempt by attempt."""
