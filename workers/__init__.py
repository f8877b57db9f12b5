"""The worker processes: detect, split, sweep, and the upkeep of what is stored."""
