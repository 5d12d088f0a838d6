"""What neural recommenders share: the training loop, texts, losses, graphs, negative samples, ragged rows."""
