#!/usr/bin/env python3
"""The fuzzing client of the Autobahn testsuite on Python 3: so much of `wstest` as is used here.

Rules of this file:
- It runs inside the prepared suite, where it lies beside `autobahntestsuite` and `autobahn`.
- `-m fuzzingclient -s SPEC` and `-a` mean what they mean to wstest.
"""

from __future__ import annotations

import argparse
import json
import sys


def main() -> None:
    """Run the mode; a traceback and exit code 1 when the specification is wrong."""
    parser = argparse.ArgumentParser(prog="wstest3")
    parser.add_argument("-m", "--mode", choices=["fuzzingclient"], default="fuzzingclient")
    parser.add_argument("-s", "--spec", help="the specification file")
    parser.add_argument("-a", "--autobahnversion", action="store_true")
    options = parser.parse_args()

    import txaio

    txaio.use_twisted()  # before autobahn is imported, which asks for it

    import autobahn
    import autobahntestsuite
    from autobahntestsuite import fuzzing
    from twisted.internet import reactor

    if options.autobahnversion:
        print(f"Autobahn {autobahn.version}")
        print(f"AutobahnTestSuite {autobahntestsuite.version}")
        return
    if options.spec is None:
        parser.error("a specification is needed: --spec FILE")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with open(options.spec, encoding="utf-8") as file:
        fuzzing.startClient(json.load(file))
    reactor.run()


if __name__ == "__main__":
    main()
