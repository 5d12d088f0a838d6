"""What crosses the wall between the parent and a worker, and what is kept of it: types without behaviour."""
