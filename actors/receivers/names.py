"""What the receiving services are called: their modules here, their programs, and their positions in the database.

Apart from them, so that whoever only names one need not import what it works with.
"""

SALES = "sales"
NOTIFICATIONS = "notifications"
RECEIVERS = (SALES, NOTIFICATIONS)
