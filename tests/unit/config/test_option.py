"""A declaration, and what is known of the option by it."""

from __future__ import annotations

import pytest

from asgiws.config import OPTIONS, Config, ConfigError
from asgiws.config.option import Option


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        Config("main:app", ssl_keyfile_password="geheim\0")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_default_written_as_the_reference_shows_it_is_the_default(option: Option) -> None:
    shown = option.kind.show(option.default)
    if shown:
        assert option.convert(shown) == option.default
