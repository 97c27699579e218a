"""What readers see of a schedule's seats, and who stands in line for them, on Redis or in memory.

It holds only what can be made again.
"""
