"""What the tables must say by the journal, counted independently of who wrote them, and what was found to differ."""
