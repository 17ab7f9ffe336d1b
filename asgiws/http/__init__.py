"""HTTP/1.1 as bytes in, events and bytes out (RFC 9110, RFC 9112); no asyncio, no ASGI."""
