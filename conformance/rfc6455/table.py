"""The whole table, and what `docs/conformance.md` says of it.

Rules of this file: it adds nothing to what the sections hold.
"""

from __future__ import annotations

from pathlib import Path

from conformance.rfc6455 import closing, compression, frames, messages, opening
from conformance.rfc6455.notation import Case, Clause

RFC6455: tuple[Clause, ...] = tuple(
    sorted(
        (*opening.CLAUSES, *frames.CLAUSES, *messages.CLAUSES, *closing.CLAUSES),
        key=lambda clause: [int(number) for number in clause.section.split(".")],
    )
)
RFC7692: tuple[Clause, ...] = compression.CLAUSES
CASES: dict[str, Case] = {case.id: case for clause in (*RFC6455, *RFC7692) for case in clause.cases}

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
BEGIN = "<!-- begin of what `python -m conformance.rfc6455 --write-docs` writes -->"
END = "<!-- end of what `python -m conformance.rfc6455 --write-docs` writes -->"


def block() -> str:
    """The table of clauses as Markdown."""
    lines = [f"{len(CASES)} cases under {len(RFC6455) + len(RFC7692)} clauses."]
    for title, clauses in (("RFC 6455", RFC6455), ("RFC 7692", RFC7692)):
        lines += ["", f"| {title} | the clause | cases |", "| --- | --- | --- |"]
        lines += [
            f"| {clause.section} | {_cell(clause.words)} | {_cell(_holders(clause))} |"
            for clause in clauses
        ]
    return "\n".join(lines)


def _cell(words: str) -> str:
    return words.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")


def _holders(clause: Clause) -> str:
    """`5.4-1` to `5.4-4`, and those of other clauses; or why there is none."""
    own = [case.id for case in clause.cases]
    parts = [own[0] if len(own) == 1 else f"{own[0]} to {own[-1]}"] if own else []
    parts += clause.also
    held = ", ".join(parts)
    return f"{held}; {clause.why}" if held and clause.why else held or f"none: {clause.why}"


def with_block(page: str) -> str:
    """The page with its block made anew. Raises ValueError when the marks are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no block for the table")
    return f"{before}{BEGIN}\n\n{block()}\n\n{END}{after}"
