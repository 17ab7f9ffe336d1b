"""Between the event loop and the application: what is awaited, the tasks of its calls, the seam to a connection."""
