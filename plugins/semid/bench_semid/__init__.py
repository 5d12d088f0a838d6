"""Recommenders on semantic IDs: short sequences of codes that are made of what is known of an item."""
