"""How an option is declared, and what is derived from its declaration.

Rules of this file: the spelling on the command line and the name of the environment variable are
derived from the name of the Python field.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from asgiws.config.errors import ConfigError
from asgiws.config.option_types import Flag, ListType, Optional, OptionType, Reach

ENV_PREFIX = "ASGIWS_"


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of one option."""

    name: str
    default: Any
    kind: OptionType
    group: str
    help: str
    #: The spelling on the command line without the dashes; "" for the positional argument.
    spelling: str

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.name.upper()

    @property
    def flags(self) -> list[str]:
        """`--name` as on the command line, and `--no-name` if it exists."""
        if not self.spelling:
            return []
        if isinstance(self._plain, Flag) and self._plain.negative:
            return [f"--{self.spelling}", f"--no-{self.spelling}"]
        return [f"--{self.spelling}"]

    @property
    def is_flag(self) -> bool:
        """True if the command line takes it without a value."""
        return isinstance(self._plain, Flag)

    @property
    def is_list(self) -> bool:
        """True if the command line takes it several times."""
        return isinstance(self._plain, ListType)

    @property
    def is_secret(self) -> bool:
        """True if its value must not appear in a message."""
        return self.name.endswith("password") or isinstance(self._plain, Reach)

    @property
    def _plain(self) -> OptionType:
        return self.kind.kind if isinstance(self.kind, Optional) else self.kind

    def convert(self, value: Any, called: str = "") -> Any:
        """The canonical form of `value`. Raises ConfigError, which names the option `called`, if
        the value is not allowed."""
        try:
            return self.kind.convert(value)
        except ValueError as error:
            shown = "***" if self.is_secret else repr(value)
            raise ConfigError(
                f"{called or self.name}: {shown} is not allowed; expected {error}"
            ) from None


def option(
    default: Any,
    kind: OptionType,
    group: str,
    help: str,
    *,
    spelling: str | None = None,
    kw_only: bool = True,
) -> Any:
    """Declare an option as a field of `Config`."""
    metadata = {"kind": kind, "group": group, "help": help, "spelling": spelling}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata, kw_only=kw_only)
    return field(default=default, metadata=metadata, kw_only=kw_only)


def options_of(kind: Any) -> tuple[Option, ...]:
    """The options that the fields of a dataclass declare, in their order."""
    result = []
    for item in dataclasses.fields(kind):
        spelling = item.metadata["spelling"]
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        result.append(
            Option(
                name=item.name,
                default=default,
                kind=item.metadata["kind"],
                group=item.metadata["group"],
                help=item.metadata["help"],
                spelling=item.name.replace("_", "-") if spelling is None else spelling,
            )
        )
    return tuple(result)
