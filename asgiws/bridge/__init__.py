"""Between the event loop and the application: what it awaits, its tasks, the seam to a connection."""
