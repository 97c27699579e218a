"""One noun a file, in the wings of who asks: everybody, customers, the door, organizers, admins."""
