"""What organizers see of their own sale: who has booked, what was sold and earned, how the house stood."""
