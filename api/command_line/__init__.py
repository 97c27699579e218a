"""The program `boxoffice`."""
