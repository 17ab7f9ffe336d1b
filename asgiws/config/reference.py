"""The reference page of all options.

Rules of this file: it is made of the declarations, and says nothing that they do not.
"""

from __future__ import annotations

from asgiws.config.kinds import Duration, Size
from asgiws.config.options import GROUPS, OPTIONS


def reference() -> str:
    """The reference page of all options, as Markdown."""
    lines = [
        "# Options",
        "",
        "This page is made by `python -m asgiws.config`; do not edit it by hand.",
        "",
        "An option is given on the command line, as an environment variable, or as a keyword of",
        "`asgiws.run` and `asgiws.Config`; the keyword is the variable's name without `ASGIWS_`,",
        "in lower case. The command line and the keyword win over the environment, the environment",
        "over the file of `--env-file`, and that over the default.",
        "",
        f"A `DURATION` is given in {Duration.FORM}, a `SIZE` in {Size.FORM}.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group}", "", "| Option | Environment | Value | Default | Meaning |"]
        lines.append("|---|---|---|---|---|")
        for item in OPTIONS:
            if item.group == group:
                flags = " ".join(f"`{flag}`" for flag in item.flags) or "`APP`"
                noun = "" if item.is_flag else f"`{item.kind.noun}`".replace("|", "\\|")
                default = item.kind.show(item.default)
                default = f"`{default}`" if default else ""
                lines.append(f"| {flags} | `{item.env}` | {noun} | {default} | {item.help} |")
    return "\n".join(lines) + "\n"
