"""Who is measured: our own system and the baselines, what their processes cost, and what they have stored.

A figure counts only if what was acknowledged is there (`verification`).
"""
