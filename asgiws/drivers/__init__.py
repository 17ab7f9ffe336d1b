"""The protocols on a connection: HTTP and WebSocket as the application sees them. No sockets, no processes."""
