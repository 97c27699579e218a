"""How the running system does: what its processes say of themselves, and what waits in the tables."""
