"""The types of options: what is taken, what it becomes, and what is refused."""

from __future__ import annotations

import ssl

import pytest

from asgiws.config.endpoints import TCPEndpoint
from asgiws.config.option_types import (
    AddressList,
    BindAddress,
    Boolean,
    Choice,
    CloseCode,
    CloseReason,
    Duration,
    HeaderList,
    HealthPath,
    HostList,
    Integer,
    OriginList,
    Prefix,
    Reach,
    RootPath,
    Several,
    Size,
    VerifyMode,
    Words,
)
from asgiws.websocket import close


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("20", 20.0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1.5m", 90.0),
        ("2h", 7200.0),
        (" 2H ", 7200.0),
        (3, 3.0),
        (0, 0.0),
    ],
)
def test_a_duration_is_seconds(given: object, seconds: float) -> None:
    result = Duration().convert(given)
    assert result == seconds
    assert isinstance(result, float)


@pytest.mark.parametrize(
    "given",
    ["", "x", "-1", "1d", "1 s s", "5sm", "1e3", "inf", -1, True, None, b"5", "99999h", "١s"],
)
def test_what_is_no_duration_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Duration().convert(given)


@pytest.mark.parametrize(
    ("given", "octets"),
    [
        ("65536", 65536),
        ("64KB", 64000),
        ("64KiB", 65536),
        ("16mib", 16777216),
        ("16 MiB", 16777216),
        ("1.5KiB", 1536),
        ("1GiB", 2**30),
        ("1b", 1),
        (7, 7),
    ],
)
def test_a_size_is_bytes(given: object, octets: int) -> None:
    result = Size(1).convert(given)
    assert result == octets
    assert isinstance(result, int)


@pytest.mark.parametrize(
    "given", ["", "x", "0", "-1", "1.5", "1XB", "1.0001KB", 0, 1.0, True, None, "2000GiB", "9" * 19]
)
def test_what_is_no_size_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="bytes"):
        Size(1).convert(given)


@pytest.mark.parametrize(
    ("given", "result"),
    [("true", True), ("No", False), ("1", True), ("off", False), (False, False)],
)
def test_booleans(given: object, result: bool) -> None:
    assert Boolean().convert(given) is result


@pytest.mark.parametrize("given", ["", "maybe", 1, 0, None])
def test_what_is_no_boolean_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="true or false"):
        Boolean().convert(given)


@pytest.mark.parametrize(
    ("given", "result"),
    [("", ""), ("/api", "/api"), ("/api/", "/api"), ("/", ""), ("/a/b", "/a/b")],
)
def test_a_root_path_has_no_slash_at_its_end(given: str, result: str) -> None:
    assert RootPath().convert(given) == result


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ([], []),
        ("X-A: b", [(b"x-a", b"b")]),
        (["X-A:b", "x-c: d:e "], [(b"x-a", b"b"), (b"x-c", b"d:e")]),
        ([("X-A", "b")], [(b"x-a", b"b")]),
        ([(b"X-A", b"\xe9")], [(b"x-a", b"\xe9")]),
        ("X-A: b\nX-C: d\n", [(b"x-a", b"b"), (b"x-c", b"d")]),
        ("X-A:", [(b"x-a", b"")]),
    ],
)
def test_headers_are_pairs_of_bytes(given: object, result: object) -> None:
    assert HeaderList().convert(given) == result
    assert HeaderList().convert(result) == result


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ([], []),
        ("Example.COM", ["example.com"]),
        ("a.example, *.example\nb.example:8000", ["a.example", "*.example", "b.example:8000"]),
        (("[::1]", "*"), ["[::1]", "*"]),
    ],
)
def test_hosts_are_lower_case_texts(given: object, result: object) -> None:
    assert HostList().convert(given) == result
    assert HostList().convert(result) == result
    assert HostList().convert(HostList().show(result)) == result


@pytest.mark.parametrize("given", ["http://a", "a/b", "*x.a", "a*", ["a b"], [5], 5, "a:", "-"])
def test_what_is_no_host_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="host, host:port"):
        HostList().convert(given)


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ("https://Example.com:443,http://a:80", ["https://example.com", "http://a"]),
        ("same none *", ["same", "none", "*"]),
        ("https://*.example.com:8443", ["https://*.example.com:8443"]),
        ("app://x http://[::1]:3000", ["app://x", "http://[::1]:3000"]),
        ("https://a:80", ["https://a:80"]),
    ],
)
def test_origins_have_no_port_that_is_the_schemes_own(given: object, result: object) -> None:
    assert OriginList().convert(given) == result
    assert OriginList().convert(result) == result


@pytest.mark.parametrize("given", ["a.example", "https://a/", "https://a/b", "https://u@a", "//a"])
def test_what_is_no_origin_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="scheme://host"):
        OriginList().convert(given)


@pytest.mark.parametrize("given", ["TLSv1.2", "tlsv1.2", "TLSV1.2"])
def test_a_choice_is_written_as_it_is_declared(given: str) -> None:
    assert Choice("TLSv1.2", "TLSv1.3").convert(given) == "TLSv1.2"


@pytest.mark.parametrize("given", [0, "0s", "0", 0.0, "0ms"])
def test_a_duration_that_must_be_some_time_is_not_0(given: object) -> None:
    assert Duration().convert(given) == 0.0
    with pytest.raises(ValueError, match="more than 0 and at most a year"):
        Duration(positive=True).convert(given)
    assert Duration(positive=True).convert("1ms") == 0.001


@pytest.mark.parametrize(
    ("given", "word"),
    [
        *(("required", "required"), ("NONE", "none"), ("1", "optional"), (2, "required")),
        *((ssl.CERT_NONE, "none"), (ssl.CERT_REQUIRED, "required")),
    ],
)
def test_whether_clients_are_asked_for_certificates(given: object, word: str) -> None:
    assert VerifyMode().convert(given) == word


@pytest.mark.parametrize("given", [None, True, False, 3, -1, "", "yes", 1.0, [], b"none"])
def test_what_says_nothing_of_certificates_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="one of none, optional, required"):
        VerifyMode().convert(given)


@pytest.mark.parametrize(
    ("given", "result"),
    [("1", [1]), ("1, 2,3", [1, 2, 3]), ([1, "2"], [1, 2]), ((3,), [3]), ([], [])],
)
def test_several_are_a_list(given: object, result: list[int]) -> None:
    kind = Several(Integer(0, 9))
    assert kind.convert(given) == result
    assert kind.convert(result) == result
    if result:
        assert kind.convert(kind.show(result)) == result


@pytest.mark.parametrize("given", ["", "1,", "1,x", [1, ["2"]], 1, None])
def test_what_is_no_list_of_them_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"a whole number .*; separate several with commas"):
        Several(Integer(0, 9)).convert(given)


def test_an_address_to_listen_on_is_an_endpoint() -> None:
    endpoint = TCPEndpoint("a", 1)
    assert BindAddress().convert("a:1") == endpoint
    assert BindAddress().convert(endpoint) is endpoint
    assert BindAddress().show(endpoint) == "a:1"
    for given in ("a", 1, None, ""):
        with pytest.raises(ValueError, match="HOST:PORT"):
            BindAddress().convert(given)


@pytest.mark.parametrize("given", ["", "x", "/a b", "/\xe9", "/a?b", "/a#b", "/a\n", None, 1])
def test_what_no_request_has_as_its_path_is_refused(given: object) -> None:
    assert HealthPath().convert("/a/-%20~") == "/a/-%20~"
    with pytest.raises(ValueError, match="begins with /"):
        HealthPath().convert(given)


@pytest.mark.parametrize(
    ("given", "addresses"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        (" 10.0.0.0/8 ,::1", ("10.0.0.0/8", "::1")),
        ("2001:DB8::/32", ("2001:db8::/32",)),
        ("*", ("*",)),
        ("unix,127.0.0.1", ("unix", "127.0.0.1")),
        ("none", ()),
        (["10.0.0.1", "unix"], ("10.0.0.1", "unix")),
        (("10.0.0.1",), ("10.0.0.1",)),
        ([], ()),
    ],
)
def test_addresses(given: object, addresses: tuple[str, ...]) -> None:
    assert AddressList().convert(given) == addresses
    assert AddressList().convert(AddressList().show(addresses)) == addresses


@pytest.mark.parametrize(
    "given",
    ["", "x", "localhost", "10.0.0.1/8", "10.0.0.1,", "10.0.0.1 10.0.0.2", "::1%lo", None, 1, [1]],
)
def test_what_is_no_list_of_addresses_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="networks"):
        AddressList().convert(given)


def test_words() -> None:
    kind = Words("a", "b", "c")
    assert kind.convert("C, a") == ("a", "c")
    assert kind.convert(["b"]) == ("b",)
    assert kind.convert("none") == kind.convert(()) == ()
    assert (kind.show(("a", "c")), kind.show(())) == ("a,c", "none")
    for given in ("", "d", "a b", "a,,b", None, 1, [1]):
        with pytest.raises(ValueError, match="one or more of a, b, c"):
            kind.convert(given)


def test_a_close_code_is_one_that_may_be_sent() -> None:
    for code in range(7000):
        if close.is_sendable(code):
            assert CloseCode().convert(code) == CloseCode().convert(str(code)) == code
        else:
            with pytest.raises(ValueError, match="a close code"):
                CloseCode().convert(code)
    for given in ("x", "01000", "", True, None, 1000.0):
        with pytest.raises(ValueError, match="a close code"):
            CloseCode().convert(given)


def test_a_close_reason_is_one_that_has_room() -> None:
    longest = "ü" * (close.MAX_REASON // 2) + "x"
    assert CloseReason().convert(longest) == longest
    assert CloseReason().convert("") == ""
    assert close.MAX_REASON == CloseReason.MOST
    for given in (longest + "x", "\ud800", "a\0b", 5, None):
        with pytest.raises(ValueError, match="a string"):
            CloseReason().convert(given)


@pytest.mark.parametrize(
    ("given", "result"),
    [
        *(("host", "host"), ("OFF", "off"), ("redis://broker", "redis://broker")),
        ("REDISS://User:Secret@Broker:6380/2", "rediss://User:Secret@Broker:6380/2"),
        *(("unix:///run/redis.sock", "unix:///run/redis.sock"), ("nats://a,b", "nats://a,b")),
        *(("tls://a", "tls://a"), ("redis+sentinel://a/x", "redis+sentinel://a/x")),
        *(("rediss+cluster://a", "rediss+cluster://a"), ("redis+cluster://a", "redis+cluster://a")),
    ],
)
def test_topics_reach_the_host_or_what_a_broker_connects(given: str, result: str) -> None:
    assert Reach().convert(given) == result
    assert Reach().convert(result) == result


@pytest.mark.parametrize(
    "given",
    [
        *("", "hosts", "redis", "redis:", "redis:/a", "redis://", "http://a", "kafka://a", "://a"),
        *("nats://a\n", "redis://a\0", " redis+nats://a", None, True, 5, b"host"),
    ],
)
def test_what_topics_cannot_go_through(given: object) -> None:
    with pytest.raises(ValueError, match="host, off, or the URL of a broker"):
        Reach().convert(given)


@pytest.mark.parametrize("given", ["a", "my-shop_2", "A" * 64])
def test_a_prefix(given: str) -> None:
    assert Prefix().convert(given) == given


@pytest.mark.parametrize(
    "given", ["", "a" * 65, "a.b", "a:b", "a b", "a\n", "{a}", "a*", "\xe4", "\u0661", None, 5]
)
def test_what_is_no_prefix(given: object) -> None:
    with pytest.raises(ValueError, match="1 to 64 letters, digits, - and _"):
        Prefix().convert(given)
