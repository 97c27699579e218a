"""Who came in at the door, and who may let them in.

An append-only log: what was judged stays as it was judged, an undo is a fact of its own.
"""
