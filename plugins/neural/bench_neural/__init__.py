"""Neural recommenders that train in minutes on one core."""
