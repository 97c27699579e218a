"""Who has an account, their sessions, and which sessions are over on every worker."""
