"""What X-Forwarded-* and Forwarded say of a request, and of what they say nothing is believed."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.http.head import Headers
from asgiws.proxies import forwarded
from asgiws.proxies.addresses import TrustedAddresses
from asgiws.proxies.forwarded import FIELDS, Forwarded, ForwardedReader, split_host
from tests.support.properties import examples

#: The proxies of these tests.
TRUSTED = TrustedAddresses(["10.0.0.0/8"])


def head(*headers: tuple[str, str]) -> Headers:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers]


def read(
    headers: Headers, trusted: TrustedAddresses, header: str, fields: Collection[str]
) -> Forwarded:
    """What is read, twice: what is remembered is the same."""
    reader = ForwardedReader(trusted, header, fields)
    said = reader.read(headers)
    assert reader.read(list(headers)) == said
    return said


def x_forwarded(trusted: TrustedAddresses = TRUSTED, **values: str | list[str]) -> Forwarded:
    """`For="..."` stands for `X-Forwarded-For: ...`, a list for several lines."""
    lines = [
        (f"x-forwarded-{name.lower()}", line)
        for name, value in values.items()
        for line in (value if isinstance(value, list) else [value])
    ]
    return read(head(*lines), trusted, "x-forwarded", FIELDS)


def rfc_7239(*lines: str, trusted: TrustedAddresses = TRUSTED) -> Forwarded:
    return read(head(*(("forwarded", line) for line in lines)), trusted, "forwarded", FIELDS)


class TestXForwarded:
    @pytest.mark.parametrize(
        ("value", "client"),
        [
            ("192.0.2.1", ("192.0.2.1", 0)),
            ("192.0.2.1:4711", ("192.0.2.1", 4711)),
            ("2001:db8::1", ("2001:db8::1", 0)),
            ("[2001:db8::1]:4711", ("2001:db8::1", 4711)),
            # What stands to the left of the client, the client has made up.
            ("198.51.100.9, 192.0.2.1", ("192.0.2.1", 0)),
            ("10.0.0.7, 192.0.2.1", ("192.0.2.1", 0)),
            ("<script>, 192.0.2.1", ("192.0.2.1", 0)),
            (",,,192.0.2.1", ("192.0.2.1", 0)),
            ("192.0.2.1, 10.0.0.7", ("192.0.2.1", 0)),
            ("192.0.2.1,10.0.0.7\t,10.0.0.8", ("192.0.2.1", 0)),
            ("198.51.100.9, 192.0.2.1, 10.0.0.7:80", ("192.0.2.1", 0)),
            (["198.51.100.9", "192.0.2.1", "10.0.0.7"], ("192.0.2.1", 0)),
            # All are trusted: it is a machine among them.
            ("10.0.0.6, 10.0.0.7", ("10.0.0.6", 0)),
        ],
    )
    def test_the_client_is_the_last_that_is_not_trusted(
        self, value: str | list[str], client: tuple[str, int]
    ) -> None:
        assert x_forwarded(For=value) == Forwarded(client)

    @pytest.mark.parametrize(
        "value",
        ["", ",", "unknown", "_secret", "x", "192.0.2.1,", "192.0.2.1, x, 10.0.0.7", "192.0.2.999"],
    )
    def test_what_is_malformed_is_ignored_as_a_whole(self, value: str) -> None:
        assert x_forwarded(For=value) == Forwarded()

    def test_with_everybody_trusted_the_client_is_the_first(self) -> None:
        everybody = TrustedAddresses(["*"])
        assert x_forwarded(everybody, For="192.0.2.1, 192.0.2.2").client == ("192.0.2.1", 0)

    def test_an_endless_row_of_proxies_is_ignored(self) -> None:
        row = ["192.0.2.1", *["10.0.0.7"] * (forwarded.MOST_HOPS - 1)]
        assert x_forwarded(For=", ".join(row)).client == ("192.0.2.1", 0)
        assert x_forwarded(For=", ".join([*row, "10.0.0.7"])).client is None

    @pytest.mark.parametrize(
        ("value", "scheme"),
        [
            ("https", "https"),
            ("HTTP", "http"),
            ("wss", "https"),
            ("ws", "http"),
            ("", None),
            ("ftp", None),
            ("https, https", None),
            ("https;", None),
        ],
    )
    def test_the_scheme(self, value: str, scheme: str | None) -> None:
        assert x_forwarded(Proto=value) == Forwarded(scheme=scheme)
        assert x_forwarded(Proto=value, For="192.0.2.1").scheme == scheme

    def test_each_value_is_the_one_of_the_clients_hop(self) -> None:
        said = x_forwarded(
            For="198.51.100.9, 192.0.2.1, 10.0.0.7",
            Proto="http, https, http",
            Host=["evil.example", "a.example:8443", "inner"],
            Port="1, 8443, 2",
            Prefix="/x, /app/, /y",
        )
        assert said == Forwarded(("192.0.2.1", 0), "https", b"a.example:8443", 8443, b"/app")

    def test_a_value_of_another_length_belongs_to_nobody(self) -> None:
        said = x_forwarded(For="192.0.2.1, 10.0.0.7, 10.0.0.8", Proto="https, http")
        assert said == Forwarded(("192.0.2.1", 0))

    @pytest.mark.parametrize(
        ("value", "host"),
        [
            ("a.example", b"a.example"),
            ("a.example:81", b"a.example:81"),
            ("[::1]:81", b"[::1]:81"),
            *((value, None) for value in ("", ":80", "a b", "a/b", "u@a", "a:b", "a, b", "ä", "[")),
        ],
    )
    def test_the_host(self, value: str, host: bytes | None) -> None:
        assert x_forwarded(Host=value).host == host

    @pytest.mark.parametrize(
        ("value", "port"),
        [("443", 443), *((value, None) for value in ("", "0", "x", "65536", "1,2", "²"))],
    )
    def test_the_port(self, value: str, port: int | None) -> None:
        assert x_forwarded(Port=value).port == port

    @pytest.mark.parametrize(
        ("value", "prefix"),
        [
            ("/app", b"/app"),
            ("/app/", b"/app"),
            ("/a/b%20c", b"/a/b%20c"),
            ("/%C3%A4", b"/%C3%A4"),
            ("/", b""),
            *((value, None) for value in ("app", "//evil.example", "/\\evil.example", "/a//b")),
            *(
                (value, None)
                for value in (
                    "/a?b",
                    "/a#b",
                    "/a b",
                    "/a%zz",
                    "/%2Fevil.example",
                    "/%5cevil",
                    "/%00",
                    "/ä",
                    "http://a/",
                )
            ),
        ],
    )
    def test_the_prefix(self, value: str, prefix: bytes | None) -> None:
        assert x_forwarded(Prefix=value).prefix == prefix

    def test_forwarded_is_not_read(self) -> None:
        lines = [("forwarded", "for=192.0.2.66;proto=https;host=evil")]
        assert read(head(*lines), TRUSTED, "x-forwarded", FIELDS) == Forwarded()


class TestForwarded:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("for=192.0.2.1", Forwarded(("192.0.2.1", 0))),
            ('For="192.0.2.1:4711"', Forwarded(("192.0.2.1", 4711))),
            ('for="[2001:db8:cafe::17]:4711"', Forwarded(("2001:db8:cafe::17", 4711))),
            ('for="192.0.2.1:_hidden"', Forwarded(("192.0.2.1", 0))),
            (
                'for=192.0.2.1;proto=HTTPS;by=10.0.0.1;host="a.example:81"',
                Forwarded(("192.0.2.1", 0), "https", b"a.example:81"),
            ),
            (r'for="192.0.2\.1"', Forwarded(("192.0.2.1", 0))),
            ("for=192.0.2.1 ; proto=wss", Forwarded(("192.0.2.1", 0), "https")),
            (";for=192.0.2.1;;", Forwarded(("192.0.2.1", 0))),
            (", for=192.0.2.1, ,", Forwarded(("192.0.2.1", 0))),
            ("for=198.51.100.9, for=192.0.2.1", Forwarded(("192.0.2.1", 0))),
            (
                "for=192.0.2.1;proto=https, for=10.0.0.7;proto=http",
                Forwarded(("192.0.2.1", 0), "https"),
            ),
            # Nothing is taken over from another hop.
            ("for=192.0.2.1, for=10.0.0.7;proto=https;host=inner", Forwarded(("192.0.2.1", 0))),
            ('for=192.0.2.1;proto=ftp;host="a/b"', Forwarded(("192.0.2.1", 0))),
            # The proxy keeps the address to itself.
            ("for=unknown;proto=https", Forwarded(None, "https")),
            ("for=_x-1;proto=https", Forwarded(None, "https")),
            ('for="_x:_y";proto=https', Forwarded(None, "https")),
            ("proto=https", Forwarded(None, "https")),
            ("for=192.0.2.66, for=_x;proto=https", Forwarded(None, "https")),
            ("for=10.0.0.6, for=10.0.0.7", Forwarded(("10.0.0.6", 0))),
            ("", Forwarded()),
            # A name that nobody knows is passed over.
            ("secret=x;for=192.0.2.1", Forwarded(("192.0.2.1", 0))),
        ],
    )
    def test_what_it_says(self, line: str, said: Forwarded) -> None:
        assert rfc_7239(line) == said

    @pytest.mark.parametrize(
        "line",
        [
            *(
                "for",
                "for=",
                "=192.0.2.1",
                "for=192.0.2.1 proto=https",
                "for=192.0.2.1;for=10.0.0.1",
            ),
            *(
                'for="192.0.2.1',
                "for=[::1]",
                "for=192.0.2.1:80",
                "for =192.0.2.1",
                "for= 192.0.2.1",
            ),
            *(
                "for=x",
                'for=""',
                "for=192.0.2.999",
                "for=192.0.2.1|",
                'for="192.0.2.1"x',
                "for=\xe4",
            ),
            # A client opens a quote, for the proxy to close.
            'for="a, for=192.0.2.1;host="b"',
        ],
    )
    def test_what_is_malformed_is_ignored_as_a_whole(self, line: str) -> None:
        assert rfc_7239(line) == Forwarded()

    def test_lines_are_one_list(self) -> None:
        said = rfc_7239("for=198.51.100.9", "for=192.0.2.1;proto=https", "for=10.0.0.7")
        assert said == Forwarded(("192.0.2.1", 0), "https")

    def test_a_line_that_a_client_has_spoilt_does_not_hide_it(self) -> None:
        said = rfc_7239('for="', "for=192.0.2.1;proto=https")
        assert said == Forwarded(("192.0.2.1", 0), "https")

    def test_an_endless_row_is_ignored(self) -> None:
        assert rfc_7239(", ".join(["for=10.0.0.7"] * (forwarded.MOST_HOPS + 1))) == Forwarded()
        assert rfc_7239(";" * 60000) == Forwarded()

    def test_x_forwarded_is_not_read(self) -> None:
        lines = [("x-forwarded-for", "192.0.2.66"), ("x-forwarded-proto", "https")]
        assert read(head(*lines), TRUSTED, "forwarded", FIELDS) == Forwarded()


@pytest.mark.parametrize("field", FIELDS)
def test_only_what_is_asked_for_is_believed(field: str) -> None:
    lines = {"for": "192.0.2.1", "proto": "https", "host": "a", "port": "81", "prefix": "/p"}
    request = head(*((f"x-forwarded-{name}", value) for name, value in lines.items()))
    everything = read(request, TRUSTED, "x-forwarded", FIELDS)
    assert None not in everything
    said = read(request, TRUSTED, "x-forwarded", [field])
    part = FIELDS[field]
    assert getattr(said, part) == getattr(everything, part)
    assert said._replace(**{part: None}) == Forwarded()


@examples(300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["forwarded", *(f"x-forwarded-{field}" for field in FIELDS)],
            ),
            st.one_of(
                st.text(st.sampled_from('for=prot;,hs"\\:[]_ \t.1/%10unkw'), max_size=40),
                st.text(st.characters(max_codepoint=255), max_size=20),
            ),
        ),
        max_size=6,
    ),
    st.sampled_from(["forwarded", "x-forwarded"]),
)
def test_nothing_that_a_client_can_write_raises(lines: list[tuple[str, str]], header: str) -> None:
    for trusted in (TRUSTED, TrustedAddresses(["*"])):
        said = read(head(*lines), trusted, header, FIELDS)
        assert said.scheme in (None, "http", "https")
        assert said.port is None or 0 < said.port < 65536


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        (b"a", b"a", None),
        (b"a:81", b"a", 81),
        (b"a:", b"a", None),
        (b"a:65536", b"a", None),
        (b"[::1]", b"[::1]", None),
        (b"[::1]:81", b"[::1]", 81),
    ],
)
def test_a_host_and_its_port(host: bytes, name: bytes, port: int | None) -> None:
    assert split_host(host) == (name, port)


def test_any_number_of_clients_takes_bounded_memory() -> None:
    reader = ForwardedReader(TRUSTED, "x-forwarded", FIELDS)
    for number in range(2 * forwarded.REMEMBERED + 10):
        client = f"192.0.2.1:{number}"
        assert reader.read(head(("x-forwarded-for", client))).client == ("192.0.2.1", number)
    assert len(reader._known) <= forwarded.REMEMBERED
    known = len(reader._known)
    long = head(("x-forwarded-for", f"{'x' * forwarded.SHORT}, 192.0.2.1"))
    assert reader.read(long).client == ("192.0.2.1", 0)
    assert len(reader._known) == known
