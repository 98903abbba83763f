"""How good an index's answers are: judged queries, measures, significance, and a report."""
