"""The page that is made of the options."""

from __future__ import annotations

from pathlib import Path

from asgiws.config import OPTIONS
from asgiws.config.reference import reference

ROOT = Path(__file__).resolve().parents[3]


def test_the_reference_page_is_the_one_in_the_docs() -> None:
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m asgiws.config > docs/options.md"
    for option in OPTIONS:
        assert option.env in page
        assert option.help in page
