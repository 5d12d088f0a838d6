"""Recommenders from who interacted with what: matrix factorisation, graph convolution, joint product quantisation."""
