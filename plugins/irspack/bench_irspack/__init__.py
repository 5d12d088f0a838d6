"""Collaborative filtering whose solvers are written in C++: models of irspack."""
