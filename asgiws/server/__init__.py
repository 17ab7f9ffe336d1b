"""One server: its start and its stop, its event loop, its signals."""
