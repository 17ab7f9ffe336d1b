"""asgiws measured beside the other ASGI servers, and its hot path on its own.

`python -m benchmarks` is the way in; `docs/performance.md` tells how to use it and what came out.

Rules of this package:
- Nothing of asgiws is imported where servers are compared: a server is a command line, and asgiws is
  one of them. Only `micro`, `echo` and `deflate` look inside.
- What starts, waits for and ends a server, and what draws a table, is `conformance`'s.
- The comparison needs a C compiler for the load generator, websockets for the checks before it, and the
  package index for the peers; OpenSSL's headers and trustme for TLS; matplotlib for the plots.
"""
