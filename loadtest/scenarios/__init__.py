"""Crowds that drive the system the way real ones do, with Locust, and a verdict on what came of it.

`python -m loadtest.scenarios NAME` prepares a sale, lets a crowd loose on it, compares the answers with thresholds and
has the auditor hold the system to what it acknowledged. See docs/load-testing.md.

Importing Locust makes a process gevent's for good. So only what runs in Locust's own processes does: `crowd/`. Whatever
starts, judges and reports does not.
"""
