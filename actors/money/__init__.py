"""What is settled and given back without anybody asking: payments in doubt, refunds owed."""
