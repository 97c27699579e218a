"""Signing up, logging in, links by mail: what somebody does about their own account."""
