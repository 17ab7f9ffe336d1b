"""Supervisor and workers, and the watch of `--reload`."""
