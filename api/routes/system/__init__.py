"""About the system itself: whether it works, what it counts, what it publishes."""
