"""TIGER: the codes of the next item, one after the other."""
