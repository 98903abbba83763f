"""Which way to keep instances warm reaches a p99, and what each costs a month."""
