"""Sockets: accepting, reading, writing and deadlines. No frames, no headers."""
