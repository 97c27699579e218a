"""The way to every owner: requests gathered into calls, owners found, created and replaced.

A request is answered once, or its sender learns that nothing is known of it and may send it again.
"""
