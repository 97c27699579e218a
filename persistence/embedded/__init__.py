"""Services that run as our own child processes, for machines that have none: small descriptions, one file a service."""
