"""Seats held, paid for, given back; and what payment providers tell us of it."""
