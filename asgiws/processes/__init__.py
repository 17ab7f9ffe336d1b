"""Supervisor and workers, and the watching process of `--reload`."""
