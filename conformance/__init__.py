"""The Autobahn WebSocket testsuite, run strictly against asgiws and beside other servers.

`python -m conformance` is the way in; `docs/conformance.md` tells how to use it.

Rules of this package:
- The suite is fetched from the package index, never copied into the project; what stands here
  is the way to run it and what we expect of it.
- Nothing of asgiws is imported: a server is a command line, and asgiws is one of them.
- Only the standard library is needed, and trustme for `--tls`.
- This file imports nothing, so that a server in another environment can load `conformance.app`.
"""
