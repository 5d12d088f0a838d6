"""What stands for an item before there is a network: vectors, identifiers and their tree, tokens."""
