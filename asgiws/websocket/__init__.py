"""WebSocket as bytes in, events and bytes out (RFC 6455, RFC 7692); no asyncio, no ASGI, no HTTP parsing."""
