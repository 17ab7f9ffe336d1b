"""The groups of options, in the order of the reference page and of `--help`.

Rules of this file: it holds names only.
"""

from __future__ import annotations

APPLICATION = "Application"
SOCKET = "Socket"
WORKERS = "Workers"
LOGGING = "Logging"
HTTP = "HTTP"
WEBSOCKET = "WebSocket"
PROXIES = "Proxies"
TLS = "TLS"
COMPRESSION = "WebSocket compression"
TOPICS = "Topics"
TIMEOUTS = "Timeouts"
LIMITS = "Limits"
DEVELOPMENT = "Development"
GROUPS = (
    *(APPLICATION, SOCKET, WORKERS, HTTP, WEBSOCKET, COMPRESSION, TOPICS, TIMEOUTS),
    *(LIMITS, PROXIES, TLS, LOGGING, DEVELOPMENT),
)
