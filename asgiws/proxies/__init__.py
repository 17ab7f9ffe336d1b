"""What proxies in front say about a client: X-Forwarded-*, Forwarded, and the PROXY protocol, without I/O."""
