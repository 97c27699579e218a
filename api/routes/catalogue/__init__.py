"""What is on, where and when, and which seats can be had: read by everybody, changed by organizers."""
