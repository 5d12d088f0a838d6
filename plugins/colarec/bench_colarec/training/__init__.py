"""What is trained on and how: samples, losses, the task of the training loop."""
