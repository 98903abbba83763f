"""Keeps the ledger: stores, receipts, settlement, statements."""
