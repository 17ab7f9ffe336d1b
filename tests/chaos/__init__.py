"""Chaos: applications in every style against clients that leave in every way, over TCP and TLS at once.

`python -m tests.chaos` is the way in; `docs/chaos.md` tells what it shows and what came out.

Rules of this package:
- Data flows one way: `__main__` -> `run` (the servers, the load, the probe, each a process of its own) ->
  what they told -> `report`, where the verdict is drawn.
- `styles` names the applications and `ways` the ways to leave; a pair of them is what one connection does.
  Neither knows the other: whatever a client does, every handler must end.
- The applications know nothing of the server: what they import is ASGI, frameworks and the standard library.
- Nothing is excused by its name. A style or a way can be left out on the command line, and the report says so.
"""
