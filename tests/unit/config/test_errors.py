"""What keeps a server from starting."""

from __future__ import annotations

import pytest

from asgiws.config.errors import ConfigError, StartError


def test_a_bad_option_ends_as_a_wrong_command_line_does() -> None:
    assert (StartError.exit_code, ConfigError.exit_code) == (1, 2)
    with pytest.raises(ValueError, match="no"):
        raise ConfigError("no")
    assert issubclass(ConfigError, StartError)
