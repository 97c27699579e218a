"""Services that keep data of their own from the events: each moves its position in the transaction of its rows."""
