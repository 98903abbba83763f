"""The way of an invocation: from the platform's event to an answer with its charge."""
