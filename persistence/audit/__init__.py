"""Who changed what, as a chain that shows if an entry is edited, removed or inserted."""
