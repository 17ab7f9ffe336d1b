"""What a request head means, and which heads are rejected although their grammar is correct.

Rules of this file:
- Each check exists once, here, for both parsers, with the clause that requires it.
- Where a clause lets a server choose between repairing and rejecting, the request is rejected:
  ambiguous requests are how requests are smuggled past a proxy (RFC 9112 11.2).
"""

from __future__ import annotations

from asgiws.http import grammar
from asgiws.http.errors import (
    BadRequest,
    ExpectationFailed,
    HTTPError,
    NotImplementedHere,
    VersionNotSupported,
)
from asgiws.http.head import Headers, RequestHead, list_members

#: The methods that are passed on to the application: those of the IANA registry, and a few more that
#: llhttp knows. RFC 9110 9.1 requires 501 for any other.
METHODS: dict[bytes, str] = {
    name.encode(): name
    for name in """
    ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL
    MOVE NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH
    SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE
    """.split()  # noqa: SIM905
}

_HOST, _CONTENT_LENGTH, _TRANSFER_ENCODING, _CONNECTION, _UPGRADE, _EXPECT, _FORWARDED = range(1, 8)
_MEANINGFUL = {
    b"host": _HOST,
    b"content-length": _CONTENT_LENGTH,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"connection": _CONNECTION,
    b"upgrade": _UPGRADE,
    b"expect": _EXPECT,
    b"forwarded": _FORWARDED,
    b"x-forwarded-for": _FORWARDED,
    b"x-forwarded-host": _FORWARDED,
    b"x-forwarded-port": _FORWARDED,
    b"x-forwarded-prefix": _FORWARDED,
    b"x-forwarded-proto": _FORWARDED,
}
_NONE: list[bytes] = []

#: Hosts that were found to be valid, at most that many: clients request a server under few names, again and
#: again.
HOSTS = 64
_HOSTS: set[bytes] = set()


def check_request_line(method: bytes, target: bytes, version: bytes) -> None:
    """Reject versions, methods and targets that are well-formed but not served."""
    if version[0] != 49:  # "1"; the bytes are `digit "." digit`
        raise VersionNotSupported("this server speaks HTTP/1.1 and HTTP/1.0")
    if method not in METHODS:
        # RFC 9110 9.1. CONNECT too: there is no tunnel here (9.3.6), for any target.
        raise NotImplementedHere("this method is not implemented")
    if target[0] != 47:  # "/"
        _check_other_target(method, target)
    if b"#" in target:
        raise BadRequest(
            "the request target has a fragment"
        )  # RFC 9112 3.2: none of its forms does


def _check_other_target(method: bytes, target: bytes) -> None:
    """A target that is not in origin-form (RFC 9112 3.2)."""
    if target == b"*":
        if method != b"OPTIONS":
            raise BadRequest("the target * is for OPTIONS only")
        return
    match = grammar.absolute_form.fullmatch(target)
    if match is None:
        raise BadRequest("the request target is neither a path nor an absolute http URI")
    if not match.group(1) or match.group(1)[0] == 58:  # ":"
        raise BadRequest("the request target has an empty host")  # RFC 9110 4.2.1


def make_head(method: str, target: bytes, http_version: str, headers: Headers) -> RequestHead:
    """The RequestHead from what a parser found in a head that passed `grammar` and
    `check_request_line`.

    Raises HTTPError for a head that must not, or cannot, be served.
    """
    authority = None
    if target[0] == 47:
        raw_path, _, query = target.partition(b"?")
    elif target == b"*":
        raw_path, query = target, b""
    else:
        match = grammar.absolute_form.fullmatch(target)
        assert match is not None
        authority = match.group(1)
        raw_path = match.group(2) or b"/"
        query = match.group(3) or b""
    head = RequestHead(method, target, raw_path, query, http_version, headers)
    lengths = encodings = connections = upgrades = expects = _NONE
    host: bytes | None = None
    hosts = 0
    for name, value in headers:
        meaning = _MEANINGFUL.get(name)
        if meaning is None:
            continue
        if meaning == _HOST:
            host = value
            hosts += 1
        elif meaning == _CONNECTION:
            connections = [*connections, value]
        elif meaning == _CONTENT_LENGTH:
            lengths = [*lengths, value]
        elif meaning == _TRANSFER_ENCODING:
            encodings = [*encodings, value]
        elif meaning == _UPGRADE:
            upgrades = [*upgrades, value]
        elif meaning == _EXPECT:
            expects = [*expects, value]
        else:
            head.has_forwarded = True
    _check_host(head, hosts, host)
    if lengths or encodings:
        _set_framing(head, lengths, encodings)
    if connections:
        _set_connection(head, connections, upgrades)
    if expects and http_version == "1.1":
        _set_expectation(head, expects)
    if authority is not None:
        # RFC 9112 3.2.2: "MUST ignore the received Host header field (if any) and instead use the
        # host information of the request-target".
        rest = [field for field in headers if field[0] != b"host"]
        head.headers = [(b"host", authority), *rest]
    return head


def _check_host(head: RequestHead, hosts: int, host: bytes | None) -> None:
    """RFC 9112 3.2: 400 for a 1.1 request without Host, with several, or with an invalid one; `host` is the
    last of them."""
    if hosts == 1:
        if host not in _HOSTS:
            assert host is not None
            _learn_host(host)
    elif hosts:
        raise BadRequest("more than one Host header")
    elif head.http_version == "1.1":
        raise BadRequest("no Host header")


def _learn_host(value: bytes) -> None:
    if grammar.host.fullmatch(value) is None:
        raise BadRequest("the Host header is not a host and port")
    if len(_HOSTS) >= HOSTS:
        _HOSTS.clear()
    _HOSTS.add(value)


def _set_framing(head: RequestHead, lengths: list[bytes], encodings: list[bytes]) -> None:
    """RFC 9112 6.3: how long the body is."""
    if lengths and encodings:
        raise BadRequest("both Content-Length and Transfer-Encoding")  # 6.3 (3), 6.1
    if encodings:
        if head.http_version != "1.1":
            raise BadRequest("Transfer-Encoding in an HTTP/1.0 request")  # 6.1
        _check_transfer_encoding(encodings)
        head.chunked = True
        return
    if len(lengths) > 1:
        raise BadRequest("more than one Content-Length")  # RFC 9110 8.6 would let equal ones pass
    if grammar.content_length.fullmatch(lengths[0]) is None:
        raise BadRequest("the Content-Length is not a number")
    head.content_length = int(lengths[0])


def _check_transfer_encoding(encodings: list[bytes]) -> None:
    """Only `chunked`, once, is served (RFC 9112 6.1, 7)."""
    if len(encodings) > 1:
        raise BadRequest("more than one Transfer-Encoding")
    if encodings[0].lower() == b"chunked":
        return
    if grammar.token_list.fullmatch(encodings[0]) is None:
        raise BadRequest("the Transfer-Encoding is malformed")
    codings = list_members(encodings)
    if codings[-1] != b"chunked":
        raise BadRequest("the last Transfer-Encoding is not chunked")  # RFC 9112 6.3 (4)
    if codings.count(b"chunked") > 1:
        raise BadRequest("chunked more than once in the Transfer-Encoding")  # RFC 9112 7.1
    raise NotImplementedHere("no Transfer-Encoding but chunked is implemented")  # RFC 9112 6.1


def _set_connection(head: RequestHead, connections: list[bytes], upgrades: list[bytes]) -> None:
    """RFC 9112 9.3 (persistence) and RFC 9110 7.8 (upgrade)."""
    options = list_members(connections)
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True
    if upgrades and b"upgrade" in options and head.http_version == "1.1":
        head.upgrade = list_members(upgrades)


def _set_expectation(head: RequestHead, expects: list[bytes]) -> None:
    """RFC 9110 10.1.1."""
    for expectation in list_members(expects):
        if expectation != b"100-continue":
            raise ExpectationFailed("no expectation but 100-continue can be met")
    head.expect_continue = head.has_body()


def explain_refusal(head: bytes) -> HTTPError:
    """Why a parser rejected a head that passed `grammar` and `check_request_line`.

    Both parsers check framing fields themselves, each with its own messages; the checks above are
    stricter and give the same message for both. A head to which they do not object is rejected anyway.
    """
    match = grammar.request_line.match(head)
    assert match is not None
    method, target, version = match.groups()
    try:
        make_head(METHODS[method], target, version.decode(), grammar.split_fields(head))
    except HTTPError as error:
        return error
    return BadRequest("the request head is invalid")
