"""Two towers: items by their texts, users by their histories."""
