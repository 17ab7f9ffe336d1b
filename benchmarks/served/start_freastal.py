"""freastal, which has no command line: `start_freastal.py MODULE:ATTRIBUTE PORT [CERTIFICATE KEY]`.

Rules of this file:
- It runs in the environment of the peers.
"""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    module, _, attribute = sys.argv[1].partition(":")
    application = getattr(importlib.import_module(module), attribute)
    certificate, key = sys.argv[3:5] or (None, None)
    freastal = importlib.import_module("freastal")
    freastal.serve_asgi(
        application,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        certfile=certificate,
        keyfile=key,
    )


if __name__ == "__main__":
    main()
