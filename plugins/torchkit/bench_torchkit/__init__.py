"""What neural recommenders share: the training loop, texts, losses, negative samples, rows of different lengths."""
