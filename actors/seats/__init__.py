"""The read path of an API worker: seats as they stand, live, without asking an owner."""
