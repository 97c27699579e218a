"""What requests and answers are made of: fields, bodies, lists, problems and their words. Knows nothing of a worker."""
