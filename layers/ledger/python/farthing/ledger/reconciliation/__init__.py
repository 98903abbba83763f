"""Reconciliation: what the ledger says a month cost against what the provider's export says."""
