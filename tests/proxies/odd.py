"""Requests at the edge of what HTTP/1.1 allows, and beyond, for servers to understand alike.

Rules of this file: data only. What a server makes of each is not said here: the tests compare what several
make of it. tests/support/smuggling.py has those that asgiws must refuse.
"""

from __future__ import annotations

from tests.support.smuggling import SMUGGLING

GET = b"GET /first HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /first HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: b\r\n\r\n"
#: What is smuggled, were it taken for a request.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n"


def _post(body: bytes, *fields: bytes, method: bytes = b"POST") -> bytes:
    head = method + b" /first HTTP/1.1\r\nHost: a\r\n" + b"".join(f + b"\r\n" for f in fields)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _get(target: bytes, *fields: bytes, host: bytes = b"a", method: bytes = b"GET") -> bytes:
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: " + host, *fields, b"", b""]
    return b"\r\n".join(lines)


_FRAMING: dict[str, bytes] = {
    "a GET": GET + b"\r\n",
    "a POST": _post(b"abc"),
    "a chunked POST": CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    "two GETs in one read": GET + b"\r\n" + SECOND,
    "three GETs in one read": GET + b"\r\n" + SECOND + SECOND,
    "a POST and a GET in one read": _post(b"abc") + SECOND,
    "a chunked POST and a GET in one read": CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + SECOND,
    "empty POSTs in one read": _post(b"") + _post(b"") + SECOND,
    "a request as the body": _post(HIDDEN) + SECOND,
    "a request as a chunk": CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN) + SECOND,
    "a request behind the body": _post(b"abc") + HIDDEN,
    "a body too many": _post(b"") + b"abc" + SECOND,
    "a body without a length": POST + b"\r\nabc",
    "an octet too many": _post(b"abc") + b"d",
    "a CRLF too many": _post(b"abc") + b"\r\n" + SECOND,
    "two CRLFs too many": _post(b"abc") + b"\r\n\r\n" + SECOND,
    "a LF too many": _post(b"abc") + b"\n" + SECOND,
    "an empty line in front": b"\r\n" + GET + b"\r\n",
    "two empty lines in front": b"\r\n\r\n" + GET + b"\r\n",
    "twenty empty lines in front": b"\r\n" * 20 + GET + b"\r\n",
    "a LF in front": b"\n" + GET + b"\r\n",
    "a CR in front": b"\r" + GET + b"\r\n",
    "a space in front": b" " + GET + b"\r\n",
    "a NUL in front": b"\0" + GET + b"\r\n",
    "a GET with a body": _post(b"abc", method=b"GET") + SECOND,
    "a GET with a chunked body": GET
    + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    + SECOND,
    "a HEAD with a body": _post(HIDDEN, method=b"HEAD") + SECOND,
    "a DELETE with a body": _post(HIDDEN, method=b"DELETE") + SECOND,
    "an OPTIONS with a body": _post(HIDDEN, method=b"OPTIONS") + SECOND,
    "a TRACE with a body": _post(HIDDEN, method=b"TRACE") + SECOND,
    "CL with leading zeros": POST + b"Content-Length: 0003\r\n\r\nabc" + SECOND,
    "CL within spaces and tabs": POST + b"Content-Length: \t 3 \t\r\n\r\nabc" + SECOND,
    "CL right behind the colon": POST + b"Content-Length:3\r\n\r\nabc" + SECOND,
    "CL in capitals": POST + b"CONTENT-LENGTH: 3\r\n\r\nabc" + SECOND,
    "CL with a comma": POST + b"Content-Length: 3,\r\n\r\nabc" + SECOND,
    "CL with two values in a list": POST + b"Content-Length: 3, 40\r\n\r\nabc" + SECOND,
    "CL 0 and CL of a request": POST + b"Content-Length: 0\r\nContent-Length: 39\r\n\r\n" + HIDDEN,
    "CL that wraps at 64 bits": POST + b"Content-Length: 18446744073709551619\r\n\r\nabc" + SECOND,
    "CL that wraps at 32 bits": POST + b"Content-Length: 4294967299\r\n\r\nabc" + SECOND,
    "CL with a form feed": POST + b"Content-Length: \x0c3\r\n\r\nabc" + SECOND,
    "CL in full-width digits": POST + b"Content-Length: \xef\xbc\x93\r\n\r\nabc" + SECOND,
    "CL with an underscore in its name": POST + b"Content_Length: 39\r\n\r\n" + HIDDEN,
    "CL named in Connection": _post(HIDDEN, b"Connection: Content-Length") + SECOND,
    "CL folded": POST + b"Content-Length:\r\n 3\r\n\r\nabc" + SECOND,
    "CL behind a fold": POST + b"X: y\r\n Content-Length: 39\r\n\r\n" + HIDDEN,
    "CL and TE around a hidden request": POST
    + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(HIDDEN) + 5)
    + HIDDEN,
    "TE and CL around a hidden request": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (len(HIDDEN), HIDDEN),
    "CL and TE in HTTP/1.0": b"POST /first HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
    b"Content-Length: 39\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "CL in HTTP/1.0": b"POST /first HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "an HTTP/1.0 connection that is kept": b"GET /first HTTP/1.0\r\nHost: a\r\n"
    b"Connection: keep-alive\r\n\r\n" + SECOND,
    "an HTTP/1.0 request, and one behind it": b"GET /first HTTP/1.0\r\nHost: a\r\n\r\n" + SECOND,
}

_TRANSFER_ENCODING: dict[str, bytes] = {
    f"TE {name}": POST + field + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + SECOND
    for name, field in {
        "in capitals": b"TRANSFER-ENCODING: CHUNKED",
        "in mixed case": b"Transfer-Encoding: ChUnKeD",
        "right behind the colon": b"Transfer-Encoding:chunked",
        "within spaces and tabs": b"Transfer-Encoding: \t chunked  ",
        "with an underscore in its name": b"Transfer_Encoding: chunked",
        "named in Connection": b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
        "named in Connection, with CL": b"Connection: Transfer-Encoding\r\n"
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        "identity, then chunked": b"Transfer-Encoding: identity, chunked",
        "chunked, then nothing": b"Transfer-Encoding: chunked\r\nTransfer-Encoding:",
        "nothing, then chunked": b"Transfer-Encoding:\r\nTransfer-Encoding: chunked",
        "behind a form feed": b"Transfer-Encoding: \x0cchunked",
        "before a form feed": b"Transfer-Encoding: chunked\x0c",
        "with a long s": b"Transfer-Encoding: chunked\xc5\xbf",
        "with a Kelvin sign": b"Transfer-Encoding: chun\xe2\x84\xaaed",
        "compressed": b"Transfer-Encoding: gzip",
        "in single quotes": b"Transfer-Encoding: 'chunked'",
        "after a comma": b"Transfer-Encoding: , chunked",
        "behind a CR": b"X: y\r\rTransfer-Encoding: chunked",
        "with a CR in its name": b"Transfer\r-Encoding: chunked",
        "with a space in its name": b"Transfer -Encoding: chunked",
        "with TE: trailers": b"TE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked",
    }.items()
}

_CHUNKS: dict[str, bytes] = {
    f"chunks: {name}": CHUNKED + body + SECOND
    for name, body in {
        "an extension": b"3;a\r\nabc\r\n0\r\n\r\n",
        "an extension with a value": b"3;a=b\r\nabc\r\n0;c=d\r\n\r\n",
        "an extension with a quoted value": b'3;a="b;c"\r\nabc\r\n0\r\n\r\n',
        "an extension with a quoted line end": b'3;a="\r\nabc\r\n0\r\n\r\n',
        "an extension with spaces": b"3 ; a = b\r\nabc\r\n0\r\n\r\n",
        "an extension without a name": b"3;\r\nabc\r\n0\r\n\r\n",
        "an extension of 3000 octets": b"3;" + b"a" * 3000 + b"\r\nabc\r\n0\r\n\r\n",
        "an extension with a bare LF and a size": b"2;\nxx\r\n4c\r\n0\r\n\r\n" + HIDDEN,
        "leading zeros": b"0003\r\nabc\r\n00\r\n\r\n",
        "sixteen digits": b"0000000000000003\r\nabc\r\n0\r\n\r\n",
        "capital digits": b"A\r\n0123456789\r\n0\r\n\r\n",
        "small digits": b"a\r\n0123456789\r\n0\r\n\r\n",
        "a size that wraps at 32 bits": b"100000003\r\nabc\r\n0\r\n\r\n",
        "a size that wraps at 64 bits": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
        "the sign bit of 64": b"8000000000000003\r\nabc\r\n0\r\n\r\n",
        "a size that is negative": b"-1\r\nabc\r\n0\r\n\r\n",
        "no digits": b"g\r\nabc\r\n0\r\n\r\n",
        "digits and letters": b"3g\r\nabc\r\n0\r\n\r\n",
        "a tab behind the size": b"3\t\r\nabc\r\n0\r\n\r\n",
        "a space before the size": b" 3\r\nabc\r\n0\r\n\r\n",
        "a size ended by CR alone": b"3\rXabc\r\n0\r\n\r\n",
        "CR CR LF behind the size": b"3\r\r\nabc\r\n0\r\n\r\n",
        "no CRLF behind the data": b"3\r\nabc0\r\n\r\n",
        "the last one twice": b"3\r\nabc\r\n0\r\n\r\n0\r\n\r\n",
        "ended by 0 and LFs": b"3\r\nabc\r\n0\n\n",
        "ended by 0 CRLF LF": b"3\r\nabc\r\n0\r\n\n",
        "a trailer": b"3\r\nabc\r\n0\r\nX-Trailer: y\r\n\r\n",
        "a trailer with a length": b"3\r\nabc\r\n0\r\nContent-Length: 39\r\n\r\n",
        "a trailer with a coding": b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "a trailer with a Host": b"3\r\nabc\r\n0\r\nHost: hidden\r\n\r\n",
        "a trailer with Forwarded": b"0\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
        "a trailer that looks like a request": b"0\r\nGET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n",
        "a trailer that looks like two": b"0\r\n: \r\n\r\n",
        "a trailer with a bare CR": b"0\r\nA: b\rC: d\r\n\r\n",
        "a trailer with a NUL": b"0\r\nA: \x00\r\n\r\n",
        "many": b"1\r\na\r\n" * 500 + b"0\r\n\r\n",
    }.items()
}

_LINES: dict[str, bytes] = {
    f"the target {target.decode('latin-1')!r}": _get(target) + SECOND
    for target in (
        b"/",
        b"/a/../b",
        b"/a/./b",
        b"//other/path",
        b"/%2e%2e/x",
        b"/%2F",
        b"/%00",
        b"/%0d%0aX:y",
        b"/%zz",
        b"/%",
        b"/a;b=c",
        b"/?a?b",
        b"/?",
        b"/a\\b",
        b'/"',
        b"/a|{}^`",
        b"/a[b]",
        b"/*",
        b"/\x7f",
        b"/\x01",
        b"/\xff",
        b"/a?b=\xc3\xa4",
        b"/a b",
        b"/a\tb",
        b"*",
        b"?a",
        b"a",
        b"",
        b"../a",
        b"a:80",
        b"/a#b",
        b"/a%23b",
        b"http://a/abs",
        b"http://a",
        b"http://a?b",
        b"HTTP://A/abs",
        b"https://a/abs",
        b"http://b/abs",
        b"http://a:80/abs",
        b"http://a:8080/abs",
        b"http://u@a/abs",
        b"http:///abs",
        b"http://a\\b/abs",
        b"http:/a",
        b"ftp://a/abs",
        b"ws://a/abs",
        b"http://[::1]/abs",
        b"http://a#b/abs",
        b"//a@b/",
    )
} | {
    "OPTIONS *": _get(b"*", method=b"OPTIONS") + SECOND,
    "OPTIONS of a URI": _get(b"http://a", method=b"OPTIONS") + SECOND,
    "CONNECT": _get(b"a:80", method=b"CONNECT") + SECOND,
    "CONNECT with a path": _get(b"/first", method=b"CONNECT") + SECOND,
    **{
        f"the method {method.decode()!r}": _get(b"/first", method=method) + SECOND
        for method in (
            b"get",
            b"Get",
            b"PATCH",
            b"PRI",
            b"FOO",
            b"M-SEARCH",
            b"G$T",
            b"G-T",
            b"G\tT",
            b"GET,",
            b'"GET"',
            b"PROPFIND",
            b"X" * 100,
        )
    },
    **{
        f"the version {version.decode()!r}": b"GET /first "
        + version
        + b"\r\nHost: a\r\n\r\n"
        + SECOND
        for version in (
            b"HTTP/1.2",
            b"HTTP/1.9",
            b"HTTP/2.0",
            b"HTTP/0.9",
            b"HTTP/1",
            b"HTTP/1.",
            b"HTTP/01.1",
            b"HTTP/1.01",
            b"HTTP/1,1",
            b"HTTPS/1.1",
            b"HTTP/11",
            b"HTTP /1.1",
            b"HTTP/1.1x",
            b"ICY",
            b"HTTP/1.1 HTTP/1.1",
        )
    },
    "HTTP/0.9": b"GET /first\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
}

_FIELDS: dict[str, bytes] = {
    f"fields: {name}": b"GET /first HTTP/1.1\r\n" + fields + b"\r\n" + SECOND
    for name, fields in {
        "Host in capitals": b"HOST: A.Example\r\n",
        "Host with a port": b"Host: a:81\r\n",
        "Host with an empty port": b"Host: a:\r\n",
        "Host with a large port": b"Host: a:99999\r\n",
        "Host in IPv6": b"Host: [::1]:80\r\n",
        "Host with half a bracket": b"Host: [::1\r\n",
        "Host with a dot behind": b"Host: a.\r\n",
        "Host with two dots": b"Host: a..b\r\n",
        "Host empty": b"Host:\r\n",
        "Host of spaces": b"Host:   \r\n",
        "Host with a comma": b"Host: a, b\r\n",
        "Host with an underscore": b"Host: a_b\r\n",
        "Host with a percent": b"Host: a%41\r\n",
        "Host with a bad percent": b"Host: a%4\r\n",
        "Host with an umlaut": b"Host: \xc3\xa4\r\n",
        "Host with a question mark": b"Host: a?b\r\n",
        "Host with a hash": b"Host: a#b\r\n",
        "Host with a backslash": b"Host: a\\b\r\n",
        "Host with a NUL": b"Host: a\x00b\r\n",
        "Host folded": b"Host:\r\n a\r\n",
        "Host before a space and the colon": b"Host : a\r\n",
        "Host twice, once with a space": b"Host: a\r\nHost : b\r\n",
        "Host twice, once indented": b"Host: a\r\n Host: b\r\n",
        "Host and X-Forwarded-Host": b"Host: a\r\nX-Forwarded-Host: b\r\n",
        "Host named in Connection": b"Host: a\r\nConnection: Host\r\n",
        "a name of no octets": b"Host: a\r\n:x\r\n",
        "a name of a space": b"Host: a\r\n : x\r\n",
        "a value of no octets": b"Host: a\r\nX:\r\n",
        "a value in Latin-1": b"Host: a\r\nX: \xe4\r\n",
        "a value with DEL": b"Host: a\r\nX: \x7f\r\n",
        "a value with a vertical tab": b"Host: a\r\nX: \x0b\r\n",
        "a value with a bare CR": b"Host: a\r\nX: a\rb\r\n",
        "a line without a colon": b"Host: a\r\nX\r\n",
        "a name with a space": b"Host: a\r\nX Y: z\r\n",
        "a name with a NUL": b"Host: a\r\nX\x00Y: z\r\n",
        "a name in Latin-1": b"Host: a\r\nX\xe4: z\r\n",
        "a name with odd letters": b"Host: a\r\n!#$%&'*+.^`|~: z\r\n",
        "an underscore in a name": b"Host: a\r\nX_Y: z\r\n",
        "ninety of them": b"Host: a\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(90)),
        "two hundred of them": b"Host: a\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(200)),
        "one of 7000 octets": b"Host: a\r\nX: " + b"y" * 7000 + b"\r\n",
        "one of 100000 octets": b"Host: a\r\nX: " + b"y" * 100000 + b"\r\n",
        "two Cookies": b"Host: a\r\nCookie: a=b\r\nCookie: c=d\r\n",
        "Connection: close, and a request behind": b"Host: a\r\nConnection: close\r\n",
        "Connection: keep-alive, close": b"Host: a\r\nConnection: keep-alive, close\r\n",
        "Connection: X-Forwarded-For": b"Host: a\r\nConnection: close, X-Forwarded-For\r\n",
        "Connection malformed": b"Host: a\r\nConnection: ,;,\r\n",
        "Keep-Alive": b"Host: a\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\n",
        "Proxy-Connection": b"Host: a\r\nProxy-Connection: keep-alive\r\n",
        "Upgrade to h2c": b"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Upgrade without Connection": b"Host: a\r\nUpgrade: websocket\r\n",
        "Expect without a body": b"Host: a\r\nExpect: 100-continue\r\n",
        "Expect of something else": b"Host: a\r\nExpect: 200-ok\r\n",
        "only a LF between them": b"Host: a\nX: y\r\n",
    }.items()
} | {
    "Expect with a body": _post(b"abc", b"Expect: 100-continue") + SECOND,
    "Expect with a chunked body": POST
    + b"Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    + SECOND,
    "Expect folded": POST + b"Expect:\r\n 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "Upgrade to h2c with a body": _post(HIDDEN, b"Connection: Upgrade", b"Upgrade: h2c") + SECOND,
    "Upgrade to WebSocket with a body": _post(
        HIDDEN,
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        method=b"GET",
    )
    + SECOND,
    "a WebSocket of another version, and a request behind": _get(
        b"/first", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 7"
    )
    + HIDDEN,
    "the head cut within a name": GET + b"X-Cut",
    "the body cut": POST + b"Content-Length: 5000\r\n\r\nabc",
    "a chunk cut": CHUNKED + b"1000\r\nabc",
}

ODD: dict[str, bytes] = {
    **_FRAMING,
    **_TRANSFER_ENCODING,
    **_CHUNKS,
    **_LINES,
    **_FIELDS,
    **{f"smuggling: {name}": data + SECOND for name, (data, _, _) in SMUGGLING.items()},
}
