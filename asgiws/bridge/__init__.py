"""Between the event loop and the application: awaitables, the tasks of its calls, the seam to a connection."""
