"""The Autobahn testsuite, written for Python 2, made to run on Python 3.

Rules of this package:
- Functions of bytes and text: no network, no processes. `conformance.prepare` brings the files
  and takes the result.
- None of the suite's code stands here, only short search strings and what takes their place.
- Each exact replacement says how often it must match: a changed upstream fails loudly.
"""
