"""What is sold: venues, performances and schedules. Plain rows in, plain rows out."""
