"""Retrieve-then-generate: a language model writes the next title, which is grounded to an item."""
