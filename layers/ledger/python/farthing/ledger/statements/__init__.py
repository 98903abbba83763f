"""Statements for people and spreadsheets, made of `farthing.billing.invoices`."""
