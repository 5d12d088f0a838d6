"""The prefix tree, which all models that generate codes share: see :mod:`bench_torchkit.tree`."""

from bench_torchkit.tree import Tree, tree

__all__ = ["Tree", "tree"]
