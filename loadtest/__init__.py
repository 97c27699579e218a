"""Driving the system from outside, as its users and its auditors do. Nothing in it is imported by what it drives."""
