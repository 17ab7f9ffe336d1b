"""Sockets, transports, TLS, timers, signals; no frames, no headers."""
