"""Mails to be sent and what became of them, kept by a receiving service."""
