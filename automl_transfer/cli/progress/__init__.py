"""Shows the events of a search as they come: a live table, or lines."""
