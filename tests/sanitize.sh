#!/usr/bin/env bash
# Runs the tests of the compiled modules, then the WebSocket fuzz targets for a moment, under the address and the
# undefined-behaviour sanitizer.
#
#   tests/sanitize.sh [pytest's arguments]
#   tests/sanitize.sh --fuzz SECONDS        the fuzz targets alone, each for so long
#
# Rules of this file:
# - The modules are built in a copy, with the interpreter of .venv (or of $PYTHON) and the packages there, so
#   that the checkout's own build stays as it is.
# - Every allocation of Python goes to malloc, so that the sanitizer sees where each object ends.
# - The first finding ends the run. Leaks are not looked for: CPython keeps memory until its end.
# - It ends after LIMIT seconds at the latest, as a failure.
# - Atheris sees no coverage beside the sanitizer's own runtime, so here the inputs are mutated blindly: those of
#   the tree, and what Atheris found before on this machine (.fuzz). What is found goes to tests/fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath --no-symlinks "${PYTHON:-.venv/bin/python}")
limit=${LIMIT:-900}
checkout=$PWD
seconds=5
only_fuzz=
if [ "${1:-}" = --fuzz ]; then
  only_fuzz=yes
  seconds=${2:?how many seconds?}
fi
# What starts processes or builds, or is not compiled: its time is better spent on what is.
chosen=(tests/unit/asgi tests/unit/http tests/unit/websocket tests/unit/net/test_connection.py
  tests/unit/server/test_wiring.py tests/unit/net/test_transport.py tests/unit/net/test_poller.py
  tests/unit/net/test_syscalls.py tests/unit/net/test_ticker.py tests/unit/tls/test_records.py
  tests/unit/net/test_tls_transport.py tests/conformance/test_rfc6455.py
  tests/conformance/test_properties.py)

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r asgiws tests conformance docs pyproject.toml README.md LICENSE "$copy"
if [ -d .fuzz ]; then cp -r .fuzz "$copy"; fi
find "$copy" \( -name '*.so' -o -name __pycache__ \) -prune -exec rm -rf {} +
cd "$copy"

flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1 -O1"  # g1: lines, no variables
ASGIWS_EXTENSIONS=require CFLAGS="$flags" LDFLAGS="$flags" \
  "$python" -c 'import setuptools; setuptools.setup()' -q build_ext --inplace --parallel "$(nproc)"

compiler=${CC:-cc}
export LD_PRELOAD="$($compiler -print-file-name=libasan.so) $($compiler -print-file-name=libubsan.so)"
# Reports go to files, for pytest has the error stream.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:log_path="$copy/report"
export UBSAN_OPTIONS=print_stacktrace=1:log_path="$copy/report" PYTHONMALLOC=malloc ASGIWS_EXTENSIONS=require
"$python" - <<'PYTHON'
import asgiws.websocket.frames as frames
import os

assert frames.__file__.startswith(os.getcwd() + os.sep), frames.__file__
assert b"__asan_init" in open(frames.__file__, "rb").read(), "built without the sanitizer"
PYTHON
code=0
if [ -z "$only_fuzz" ]; then
  timeout "$limit" "$python" -m pytest -q -n "$(nproc)" -p no:cacheprovider --timeout 300 "${chosen[@]}" "$@" || code=$?
fi
if [ "$code" = 0 ]; then
  "$python" -m tests.fuzz --websocket --mutator --seconds "$seconds" --jobs "$(nproc)" || code=$?
  cp -r tests/fuzz/findings "$checkout/tests/fuzz/"
fi
unset LD_PRELOAD
if compgen -G "$copy/report*" >/dev/null; then
  cat "$copy"/report*
  exit 1
fi
exit "$code"
