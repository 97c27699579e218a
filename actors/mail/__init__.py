"""Mails to customers: what they say, in which words, with which ticket, and how they leave."""
