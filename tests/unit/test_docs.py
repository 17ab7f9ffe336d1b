"""The documentation is true: the tests, files and classes it names exist; its generated parts are up to date.

`python -m tests.unit.test_docs` rewrites the generated parts.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from asgiws.config import OPTIONS
from asgiws.config.option_types import Choice, Prefix, Reach
from asgiws.websocket.states import TRANSITIONS, Effect, State, Trigger

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "asgiws"
BEHAVIOUR = ROOT / "docs" / "behaviour.md"
DESIGN = ROOT / "docs" / "design.md"
COMPRESSION = ROOT / "docs" / "compression.md"
SECURITY = ROOT / "docs" / "security.md"
TLS = ROOT / "docs" / "tls.md"
WORKERS = ROOT / "docs" / "workers.md"
PUBSUB = ROOT / "docs" / "pubsub.md"
#: Where the tests are that a page names without a folder.
FOLDERS = {
    BEHAVIOUR: "tests/integration",
    COMPRESSION: "tests/integration",
    SECURITY: "tests/abuse",
    TLS: "tests/integration",
    WORKERS: "tests/integration",
    PUBSUB: "tests",
}
REFERENCE = re.compile(r"`([\w/]+\.py)::(\w+)`")
#: A file, or a member of a class, in the text of docs/design.md.
FILE = re.compile(r"`([\w./]+\.(?:py|pxd))`")
MEMBER = re.compile(r"`([A-Z]\w*)\.(\w+)(?:\(\))?`")
#: Classes that docs/design.md names and that are not of the package.
FOREIGN = {"SSLContext"}
BLOCK = re.compile(r"(<!-- states: .*? -->\n).*?(<!-- end of states -->)", re.DOTALL)
WORDS = {
    Effect.SEND_RESPONSE: "answer the handshake",
    Effect.SEND_CLOSE: "send close",
    Effect.START_DEADLINE: "start the deadline",
    Effect.END_TCP: "end TCP",
    Effect.DISCONNECT: "tell the application",
}


def state_table() -> str:
    """TRANSITIONS as a table in Markdown."""
    lines = [
        "| state | " + " | ".join(trigger.value for trigger in Trigger) + " |",
        "|---" * (len(Trigger) + 1) + "|",
    ]
    for state in State:
        cells = []
        for trigger in Trigger:
            transition = TRANSITIONS.get((state, trigger))
            if transition is None:
                cells.append("error")
            elif transition.effect is Effect.NOTHING:
                cells.append("ignored")
            else:
                effects = ", ".join(
                    word
                    for effect, word in WORDS.items()
                    if effect in transition.effect  # type: ignore[operator]
                )
                cells.append(f"{transition.target.name}: {effects}")
        lines.append(f"| {state.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def with_state_table(text: str) -> str:
    return BLOCK.sub(lambda match: f"{match[1]}\n{state_table()}\n{match[2]}", text)


def test_the_state_table_is_the_one_in_the_code() -> None:
    text = BEHAVIOUR.read_text("utf-8")
    assert text == with_state_table(text)


def references(page: Path) -> set[tuple[str, str]]:
    """The tests that a page names, as (file, name)."""
    return {
        (file if "/" in file else f"{FOLDERS[page]}/{file}", name)
        for file, name in REFERENCE.findall(page.read_text("utf-8"))
    }


@pytest.mark.parametrize(
    ("file", "name"), sorted({reference for page in FOLDERS for reference in references(page)})
)
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE)


def test_the_page_on_security_names_each_test_of_abuse() -> None:
    page = SECURITY.read_text("utf-8")
    threats, measured = page.split("## Measured")
    for path in sorted((ROOT / "tests" / "abuse").glob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE):
            assert f"`{path.name}::{name}`" in threats
            assert f"`{path.name}::{name}`" in measured


def test_the_page_on_security_has_the_options_and_their_defaults() -> None:
    rows = [line.split(" | ") for line in SECURITY.read_text("utf-8").splitlines()]
    cells = re.findall(r"`(--[\w-]+)` ([\w.]+)", "\n".join(row[2] for row in rows if len(row) == 5))
    shown = {
        option.flags[0]: option.kind.show(option.default) if option.default else "off"
        for option in OPTIONS
        if option.flags
    }
    assert len(cells) > 20
    for flag, default in cells:
        assert default == shown[flag], flag


def test_the_page_on_compression_has_every_option_and_its_default() -> None:
    page = COMPRESSION.read_text("utf-8")
    for option in OPTIONS:
        if option.name.startswith("ws_deflate_"):
            shown = option.kind.show(option.default)
            default = f"`{shown}`" if isinstance(option.kind, (Choice, Prefix, Reach)) else shown
            assert f"| `{option.flags[0]}` | {default} |" in page


def test_the_page_on_tls_has_every_option_and_its_default() -> None:
    page = TLS.read_text("utf-8")
    for option in OPTIONS:
        if option.group == "TLS":
            shown = option.kind.show(option.default)
            default = f"`{shown}`" if isinstance(option.kind, (Choice, Prefix, Reach)) else shown
            assert f"| `{option.flags[0]}` | {default} |" in page


def test_the_page_on_topics_has_every_option_and_its_default() -> None:
    page = PUBSUB.read_text("utf-8")
    for option in OPTIONS:
        if option.group == "Topics":
            shown = option.kind.show(option.default)
            default = f"`{shown}`" if isinstance(option.kind, (Choice, Prefix, Reach)) else shown
            assert f"| `{option.flags[0]}` | {default} |" in page


@cache
def members() -> dict[str, set[str]]:
    """The classes of the package, each with its methods and attributes and those of its bases."""
    own: dict[str, set[str]] = defaultdict(set)
    bases: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ClassDef):
                continue
            bases[node.name] |= {base.id for base in node.bases if isinstance(base, ast.Name)}
            for inner in ast.walk(node):
                match inner:
                    case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                        own[node.name].add(name)
                    case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                        own[node.name].add(name)
                    case ast.Name(id=name, ctx=ast.Store()):
                        own[node.name].add(name)

    def all_of(name: str) -> set[str]:
        return own[name].union(*(all_of(base) for base in bases[name] if base in bases))

    return {name: all_of(name) for name in bases}


def test_the_page_on_the_design_names_files_that_exist() -> None:
    named = set(FILE.findall(DESIGN.read_text("utf-8")))
    assert len(named) > 40
    missing = {
        name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()
    }
    assert missing == set()


def test_the_page_on_the_design_names_members_that_exist() -> None:
    named = {pair for pair in MEMBER.findall(DESIGN.read_text("utf-8")) if pair[0] not in FOREIGN}
    assert len(named) > 10
    missing = {
        f"{name}.{member}" for name, member in named if member not in members().get(name, ())
    }
    assert missing == set()


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_has_its_two_commands() -> None:
    commands = re.findall(
        r"^```sh\n(.+)\n```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(commands) == 2
    assert commands[0].endswith("asgiws examples.chat:app")
    assert commands[1].endswith("-m pytest")


if __name__ == "__main__":
    BEHAVIOUR.write_text(with_state_table(BEHAVIOUR.read_text("utf-8")), "utf-8")
