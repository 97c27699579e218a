"""The benchmark: `python -m loadtest.bench`.

A *contender* is something that answers bookings: our system in one of its settings, or a baseline that one would have
built instead (`contenders/`). A *scenario* says who is asked what, and what is to come out of it (`scenarios.py`).
Rounds are interleaved and begin when all is quiet (`measuring.py`); every acknowledged booking is looked up afterwards,
and a run in which one is missing has no figures at all (`contenders/verification.py`). `figures/` tells them.
"""
