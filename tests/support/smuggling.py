"""Requests that two servers could read differently, and what is said to each.

Rules of this file: data only, for the unit tests and for those over real sockets. Each is refused
with the status and the message beside it and ends the connection, whatever the parser; nothing
behind it is served.
"""

from __future__ import annotations

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
GET = b"GET / HTTP/1.1\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"

SMUGGLING: dict[str, tuple[bytes, int, str]] = {
    # Content-Length against Transfer-Encoding (RFC 9112 6.1, 6.3)
    "CL.TE": (
        POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        400,
        "both Content-Length and Transfer-Encoding",
    ),
    "TE.CL": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + CHUNKS,
        400,
        "both Content-Length and Transfer-Encoding",
    ),
    "CL.TE with CL 0": (
        POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        400,
        "both Content-Length and Transfer-Encoding",
    ),
    "bad CL with TE": (
        POST + b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        400,
        "both Content-Length and Transfer-Encoding",
    ),
    # Transfer-Encoding, repeated or disguised
    "TE twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        400,
        "more than one Transfer-Encoding",
    ),
    "TE twice, one unknown": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + CHUNKS,
        400,
        "more than one Transfer-Encoding",
    ),
    "TE chunked, chunked": (
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKS,
        400,
        "chunked more than once in the Transfer-Encoding",
    ),
    "TE xchunked": (
        POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
        400,
        "the last Transfer-Encoding is not chunked",
    ),
    "TE chunked, identity": (
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKS,
        400,
        "the last Transfer-Encoding is not chunked",
    ),
    "TE identity": (
        POST + b"Transfer-Encoding: identity\r\n\r\n" + CHUNKS,
        400,
        "the last Transfer-Encoding is not chunked",
    ),
    "TE empty": (
        POST + b"Transfer-Encoding:\r\n\r\n" + CHUNKS,
        400,
        "the Transfer-Encoding is malformed",
    ),
    "TE quoted": (
        POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + CHUNKS,
        400,
        "the Transfer-Encoding is malformed",
    ),
    "TE with a parameter": (
        POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + CHUNKS,
        400,
        "the Transfer-Encoding is malformed",
    ),
    "TE with a comma": (
        POST + b"Transfer-Encoding: chunked,\r\n\r\n" + CHUNKS,
        400,
        "the Transfer-Encoding is malformed",
    ),
    "TE in two words": (
        POST + b"Transfer-Encoding: chunked foo\r\n\r\n" + CHUNKS,
        400,
        "the Transfer-Encoding is malformed",
    ),
    "TE with a high octet": (
        POST + b"Transfer-Encoding: chunked\xa0\r\n\r\n" + CHUNKS,
        400,
        "the Transfer-Encoding is malformed",
    ),
    "TE with a vertical tab": (
        POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKS,
        400,
        "control character 0x0b in the value in header line 2",
    ),
    "TE before a tab": (
        POST + b"Transfer-Encoding: chunked \t\r\n\r\n" + CHUNKS,
        400,
        "the request head is invalid",
    ),
    "TE unknown before chunked": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
        501,
        "no Transfer-Encoding but chunked is implemented",
    ),
    "TE in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        400,
        "Transfer-Encoding in an HTTP/1.0 request",
    ),
    "TE before a space and the colon": (
        POST + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
        400,
        "whitespace before the colon in header line 2",
    ),
    "TE before a tab and the colon": (
        POST + b"Transfer-Encoding\t: chunked\r\n\r\n" + CHUNKS,
        400,
        "whitespace before the colon in header line 2",
    ),
    "TE folded": (
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKS,
        400,
        "whitespace at the start of header line 3 (obsolete line folding)",
    ),
    "TE indented": (
        POST + b" Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        400,
        "whitespace at the start of header line 2 (obsolete line folding)",
    ),
    "TE behind a bare CR": (
        POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        400,
        "bare CR in header line 2",
    ),
    "TE behind a bare LF": (
        POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        400,
        "bare LF at the end of header line 2",
    ),
    "TE behind a NUL": (
        POST + b"X: y\x00Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        400,
        "NUL byte in header line 2",
    ),
    "TE with a NUL in its name": (
        POST + b"Transfer\x00-Encoding: chunked\r\n\r\n" + CHUNKS,
        400,
        "NUL byte in header line 2",
    ),
    # Content-Length
    "CL twice, different": (
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        400,
        "more than one Content-Length",
    ),
    "CL twice, the same": (
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        400,
        "more than one Content-Length",
    ),
    "CL list": (
        POST + b"Content-Length: 3, 3\r\n\r\nabc",
        400,
        "the Content-Length is not a number",
    ),
    "CL signed": (
        POST + b"Content-Length: +3\r\n\r\nabc",
        400,
        "the Content-Length is not a number",
    ),
    "CL negative": (
        POST + b"Content-Length: -3\r\n\r\nabc",
        400,
        "the Content-Length is not a number",
    ),
    "CL hex": (POST + b"Content-Length: 0x3\r\n\r\nabc", 400, "the Content-Length is not a number"),
    "CL underscore": (
        POST + b"Content-Length: 1_0\r\n\r\nabc",
        400,
        "the Content-Length is not a number",
    ),
    "CL spaced": (
        POST + b"Content-Length: 1 0\r\n\r\nabc",
        400,
        "the Content-Length is not a number",
    ),
    "CL empty": (POST + b"Content-Length:\r\n\r\nabc", 400, "the Content-Length is not a number"),
    "CL decimal": (
        POST + b"Content-Length: 3.0\r\n\r\nabc",
        400,
        "the Content-Length is not a number",
    ),
    "CL huge": (
        POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
        400,
        "the Content-Length is not a number",
    ),
    "CL without a colon": (POST + b"Content-Length 3\r\n\r\nabc", 400, "no colon in header line 2"),
    # The request line and the lines of the head
    "bare LF everywhere": (
        b"GET / HTTP/1.1\nHost: a\n\n",
        400,
        "bare LF at the end of the request line",
    ),
    "bare LF before the blank line": (
        GET + b"Host: a\n\r\n",
        400,
        "bare LF at the end of header line 1",
    ),
    "bare LF as the blank line": (
        GET + b"Host: a\r\n\n",
        400,
        "bare LF at the end of header line 2",
    ),
    "bare CR in the request line": (
        b"GET /\rX HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "bare CR in the request line",
    ),
    "two CRs": (GET + b"Host: a\r\r\n\r\n", 400, "bare CR in header line 1"),
    "obs-fold": (
        GET + b"Host: a\r\nX: y\r\n z\r\n\r\n",
        400,
        "whitespace at the start of header line 3 (obsolete line folding)",
    ),
    "obs-fold with a tab": (
        GET + b"Host: a\r\n\tb\r\n\r\n",
        400,
        "whitespace at the start of header line 2 (obsolete line folding)",
    ),
    "whitespace before the first header": (
        GET + b" Host: a\r\n\r\n",
        400,
        "whitespace at the start of header line 1 (obsolete line folding)",
    ),
    "NUL in a value": (GET + b"Host: a\r\nX: a\x00b\r\n\r\n", 400, "NUL byte in header line 2"),
    "NUL in the target": (
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "NUL byte in the request line",
    ),
    "no name": (GET + b"Host: a\r\n: x\r\n\r\n", 400, "no name before the colon in header line 2"),
    "a name in brackets": (
        GET + b"Host: a\r\n[x]: y\r\n\r\n",
        400,
        "invalid character 0x5b in the name in header line 2",
    ),
    "two spaces": (
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "the request line is not 'method target version' with single spaces",
    ),
    "a tab for a space": (
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "the request line is not 'method target version' with single spaces",
    ),
    "a space behind the version": (
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        400,
        "the request line is not 'method target version' with single spaces",
    ),
    "lower-case version": (
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        400,
        "the request line does not end in an HTTP version such as HTTP/1.1",
    ),
    "no version": (
        b"GET /\r\nHost: a\r\n\r\n",
        400,
        "the request line is not 'method target version' with single spaces",
    ),
    "a version with three digits": (
        b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
        400,
        "the request line does not end in an HTTP version such as HTTP/1.1",
    ),
    "a method in brackets": (
        b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "invalid character in the method",
    ),
    "a target that is not ASCII": (
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "invalid character in the request target",
    ),
    "a fragment": (
        b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "the request target has a fragment",
    ),
    # Host (RFC 9112 3.2)
    "no Host": (GET + b"X: y\r\n\r\n", 400, "no Host header"),
    "two Hosts": (GET + b"Host: a\r\nHost: b\r\n\r\n", 400, "more than one Host header"),
    "the same Host twice": (GET + b"Host: a\r\nhost: a\r\n\r\n", 400, "more than one Host header"),
    "Host with a space": (
        GET + b"Host: a b\r\n\r\n",
        400,
        "the Host header is not a host and port",
    ),
    "Host with userinfo": (
        GET + b"Host: a@b\r\n\r\n",
        400,
        "the Host header is not a host and port",
    ),
    "Host with a path": (GET + b"Host: a/b\r\n\r\n", 400, "the Host header is not a host and port"),
    "Host with a bad port": (
        GET + b"Host: a:b\r\n\r\n",
        400,
        "the Host header is not a host and port",
    ),
    "two Hosts in HTTP/1.0": (
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        400,
        "more than one Host header",
    ),
    "no Host with an absolute target": (
        b"GET http://a/ HTTP/1.1\r\n\r\n",
        400,
        "no Host header",
    ),
    # The chunked coding (RFC 9112 7.1)
    "chunk size in octal dress": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        400,
        "a chunk-size line is malformed",
    ),
    "chunk size signed": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        400,
        "a chunk-size line is malformed",
    ),
    "chunk size spaced": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
        400,
        "a chunk-size line is malformed",
    ),
    "chunk size empty": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n",
        400,
        "a chunk-size line is malformed",
    ),
    "chunk size too long": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n00000000000000003\r\nabc\r\n0\r\n\r\n",
        400,
        "a chunk-size line is malformed",
    ),
    "chunk size wraps": (
        POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        400,
        "a chunk is too large",
    ),
    "chunk line with a bare LF": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        400,
        "a chunk-size line is malformed",
    ),
    "chunk extension with a bare CR": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n",
        400,
        "a chunk-size line is malformed",
    ),
    "chunk extension with a bare LF": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
        400,
        "a chunk-size line is malformed",
    ),
    "chunk data too long": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        400,
        "a chunk's data does not end in CRLF",
    ),
    "chunk data ended by LF": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        400,
        "a chunk's data does not end in CRLF",
    ),
    "chunk data ended by CR": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r0\r\n\r\n",
        400,
        "a chunk's data does not end in CRLF",
    ),
    "trailer with a bare LF": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n",
        400,
        "bare LF at the end of trailer line 1",
    ),
    "trailer without a colon": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
        400,
        "no colon in trailer line 1",
    ),
    "trailer folded": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
        400,
        "whitespace at the start of trailer line 2 (obsolete line folding)",
    ),
}
