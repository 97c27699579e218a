"""One worker: the application, its process, and the ways in."""
