"""From raw files to a split."""
