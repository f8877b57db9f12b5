"""The alert worker: tells people what was flagged, at least once, under an id that never changes."""
