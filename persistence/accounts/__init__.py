"""Who has an account, their sessions, first answers to their keys, and which sessions are over on every worker."""
