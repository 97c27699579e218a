"""What readers see of a schedule's seats, on Redis or in memory. It holds only what can be made again."""
