"""Rows and memory as clients see them."""
