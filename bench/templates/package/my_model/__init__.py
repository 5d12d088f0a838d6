"""A recommender for recsys-bench: see :mod:`my_model.model`."""
