"""The soak: thousands of connections that come, talk, stall and die in every way.

`python -m benchmarks.soak` is the way in; `docs/soak.md` tells what it proves and what came out.

Rules of this package:
- Data flows one way: `cli` -> `run` (the server's process and those of the load) -> files, one line for each
  connection of either side -> `judge`, which holds the two sides against each other -> `report`.
- The clients share no code with the server; `messages` is all that they share with the application.
- What a client may find is said before it looks: whatever else it finds is a problem, and one is enough.
- A wait has a limit as a guard against hanging. How fast something was is never a verdict.
"""
