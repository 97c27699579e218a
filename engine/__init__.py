"""What may happen to a schedule, as pure functions of a state, a request and the time that comes with it. No I/O."""
