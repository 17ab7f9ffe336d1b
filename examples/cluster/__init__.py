"""Two nodes of two workers behind HAProxy, with Redis between them: see `__main__.py`."""
