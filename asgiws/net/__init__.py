"""Sockets: accepting, reading, writing, deadlines; no frames, no headers."""
