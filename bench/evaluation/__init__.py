"""Top-K lists and what they are worth."""
