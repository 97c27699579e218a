"""What the receiving services are called: their modules here, their positions in the database, and their program.

Apart from them, so that whoever only names one need not import what it works with.
"""

SALES = "sales"
NOTIFICATIONS = "notifications"
RECEIVERS = (SALES, NOTIFICATIONS)
PROGRAM = "receivers"  # which they share; its consumer group, too
