"""Whatever a model can do to its process and to what it leaves: a function each, called in ``fit``."""
