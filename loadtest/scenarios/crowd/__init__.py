"""Who comes: Locust's users, from those who only look to those who change their minds, and what a crew does for them.

All of it runs in Locust's own processes, and nothing outside of it does.
"""
