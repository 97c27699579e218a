"""What every process of ours has: settings, time and ids, logging and metrics, and good manners."""
