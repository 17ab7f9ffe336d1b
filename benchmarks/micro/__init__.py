"""Micro-benchmarks of the hot modules, by pytest-benchmark.

`python -m benchmarks.micro` runs them with the compiled modules and without, and shows both.

Rules of this package:
- Each benchmark checks what it got, once.
- They show where a change tells; what a user gets is what `python -m benchmarks` measures.
"""
