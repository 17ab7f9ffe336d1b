"""Between the event loop and the application: awaitables, tasks, the seam to a connection."""
