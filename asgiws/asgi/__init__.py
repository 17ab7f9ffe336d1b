"""The bridge to the application: scopes, events, lifespan; no sockets, no processes."""
