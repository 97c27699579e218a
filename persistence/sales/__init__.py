"""The sales figures that organizers see, kept by a receiving service."""
