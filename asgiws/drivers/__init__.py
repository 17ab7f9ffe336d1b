"""What speaks on a connection: HTTP and WebSocket as the application sees them; no sockets, no processes."""
