"""The process for what no customer asks for: sleeping schedules with something due, endings, the rounds of others."""
