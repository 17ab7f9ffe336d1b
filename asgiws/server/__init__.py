"""One server: its start and stop, its event loop, its signals."""
