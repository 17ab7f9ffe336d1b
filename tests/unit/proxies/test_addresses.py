"""Which addresses are trusted, and how headers write them."""

from __future__ import annotations

import pytest

from asgiws.proxies.addresses import TrustedAddresses, parse_host, parse_node, parse_port


@pytest.mark.parametrize(
    ("entries", "host", "trusted"),
    [
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["127.0.0.1"], "::1", False),
        (["::1"], "::1", True),
        (["::1"], "0:0:0:0:0:0:0:1", True),
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        (["10.0.0.0/8"], "2001:db8::1", False),
        (["2001:db8::/32"], "2001:db8:1::2", True),
        (["2001:db8::/32"], "2001:db9::2", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["192.0.2.1", "2001:db8::1"], "2001:db8::1", True),
        (["*"], "192.0.2.1", True),
        (["*"], "what is no address", True),
        (["*"], None, True),
        (["unix"], None, True),
        (["unix"], "127.0.0.1", False),
        (["127.0.0.1"], None, False),
        ([], "127.0.0.1", False),
        (["0.0.0.0/0", "::/0"], "what is no address", False),
        (["0.0.0.0/0"], "", False),
    ],
)
def test_who_is_trusted(entries: list[str], host: str | None, trusted: bool) -> None:
    addresses = TrustedAddresses(entries)
    assert (host in addresses) is trusted
    assert (host in addresses) is trusted, "asked once more, it is remembered"
    assert bool(addresses) is bool(entries)


@pytest.mark.parametrize("entry", ["localhost", "10.0.0.1/8", "300.0.0.1", "", "unix:/run/x"])
def test_what_is_no_address_is_refused(entry: str) -> None:
    with pytest.raises(ValueError):
        TrustedAddresses([entry])


def test_any_number_of_clients_takes_bounded_memory() -> None:
    addresses = TrustedAddresses(["10.0.0.0/8"])
    for number in range(10000):
        assert f"192.0.{number >> 8}.{number & 255}" not in addresses
    assert "10.1.2.3" in addresses
    assert len(addresses._answers) < 5000


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("[2001:DB8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:65535", ("2001:db8::1", 65535)),
        ("2001:db8:0:0::1", ("2001:db8::1", 0)),
        ("::ffff:192.0.2.1", ("192.0.2.1", 0)),
        ("[::ffff:192.0.2.1]:1", ("192.0.2.1", 1)),
    ],
)
def test_a_node_is_an_address_and_perhaps_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_node(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "unknown", "_hidden", "localhost", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:65536"),
        *("192.0.2.1:+8", "192.0.2.1:8_0", "192.0.2.01", "192.0.2", "[192.0.2.1]", "[::1", "::1]"),
        *("[::1]80", "[::1]:", "[fe80::1%eth0]", "fe80::1%eth0", " 192.0.2.1", "192.0.2.1:٣"),
    ],
)
def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_node(text)


def test_ports_and_hosts() -> None:
    assert (parse_port("0"), parse_port("65535")) == (0, 65535)
    for text in ("", "-1", "65536", "100000", "1 ", "٣", "1.0"):
        with pytest.raises(ValueError):
            parse_port(text)
    assert str(parse_host("fe80::1%eth0")) == "fe80::1"
