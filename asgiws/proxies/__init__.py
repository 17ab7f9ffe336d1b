"""What proxies in front say of a client: X-Forwarded-*, Forwarded, and the PROXY protocol, without I/O."""
