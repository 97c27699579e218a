"""Who stands in line for a schedule with a waiting room, in Redis or in memory. Tickets can make it again."""
