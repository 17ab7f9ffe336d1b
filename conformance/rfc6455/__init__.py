"""Our own table of RFC 6455 and RFC 7692: what a server must do, clause by clause, with cases.

`tests/conformance/test_rfc6455.py` runs it; `python -m conformance.rfc6455` tells what is in it.

Rules of this package:
- It is data, in the order of the two documents, and imports nothing of asgiws and no library: the
  octets are made in `notation.py` from the documents alone.
- Every MUST, MUST NOT and SHOULD for a server is a Clause in its own words, with the cases that
  hold it or the reason why there is none. `notation.py` says how a case is read.
- The modules are named after what they hold: `opening` (4, 9, 10.2), `frames` (5), `messages`
  (6, 8, 10.4), `closing` (7) and `compression` (RFC 7692, 5 to 7). `table.py` puts them together,
  `app.py` is the application under the cases, `verdict.py` says whether a server did right.
"""
