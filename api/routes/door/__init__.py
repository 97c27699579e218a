"""Tickets, and who lets them in."""
