"""What an empty store is filled with, so that there is something to book from the first minute."""
