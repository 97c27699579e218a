"""What travels between gateways and owners, and the socket it takes."""
