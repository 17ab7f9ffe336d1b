"""The generated block of `docs/conformance.md`.

Rules of this file:
- Only what stands between the two marks is ever changed.
- The block is made from results alone, so it can be made again from a summary.
"""

from __future__ import annotations

from pathlib import Path

from conformance import tables
from conformance.cases import SUITE_VERSION
from conformance.expectations import Expected
from conformance.results import Summary

PAGE = Path(__file__).resolve().parent.parent / "docs" / "conformance.md"
BEGIN = "<!-- begin of what `python -m conformance --write-docs` writes -->"
END = "<!-- end of what `python -m conformance --write-docs` writes -->"


class DocsError(Exception):
    """A page without the two marks; one line for the user."""


def block(summary: Summary, expected: dict[str, Expected]) -> str:
    """The Markdown of the results."""
    about, servers = summary.about, summary.servers
    lines = [
        f"Autobahn testsuite {SUITE_VERSION}, {about['date']}, Python {about['python']},"
        f" {about['machine']}.",
        "",
        tables.markdown(tables.overall(servers, expected)),
        "",
        "By section, how many cases are OK or informational, and the server's CPU time:",
        "",
        tables.markdown(tables.side_by_side(servers)),
        "",
        "Cases that are neither OK nor informational:",
        "",
    ]
    lines += [
        f"- {server.name}: {'; '.join(tables.shortcomings(server)) or 'none'}" for server in servers
    ]
    lines += [
        "",
        "What was started; in brackets what its `--version` says, which knows the defaults alone:",
        "",
    ]
    for server in servers:
        version = f" ({server.version})" if server.version else ""
        lines.append(f"- {server.name}{version}: `{server.command}`")
    return "\n".join(lines)


def write(content: str, page: Path, begin: str = BEGIN, end: str = END) -> None:
    """Put the content between the marks of the page. Raises DocsError, or OSError as files do."""
    old = page.read_text(encoding="utf-8")
    before, found, rest = old.partition(begin)
    _, found_too, after = rest.partition(end)
    if not found or not found_too:
        raise DocsError(f"{page.name} has no block to write the results to")
    page.write_text(f"{before}{begin}\n\n{content}\n\n{end}{after}", encoding="utf-8")
