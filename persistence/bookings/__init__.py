"""The tables of bookings, payments, refunds and cancellations, which the journal's transaction writes: queries."""
