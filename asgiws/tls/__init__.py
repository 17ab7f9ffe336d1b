"""TLS without sockets: contexts, certificates, records."""
