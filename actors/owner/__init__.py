"""A schedule's owner: decides in memory, answers what is durable. Knows no Ray."""
