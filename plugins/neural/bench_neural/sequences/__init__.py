"""Models of the next item: one trunk of layers each, and the same rows, losses and training for all."""
