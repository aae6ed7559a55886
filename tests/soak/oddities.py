"""What clients should not send, part by part: data for the grammar. One a line, escapes as Python writes them."""

import ast


def _each(text: str) -> tuple[bytes, ...]:
    return tuple(ast.literal_eval("b'''" + line.replace("'", "\\'") + "'''") for line in text.strip().splitlines())


METHODS = (
    *_each(r"""
GET
HEAD
PUT
DELETE
OPTIONS
TRACE
CONNECT
PRI
post
P\x00ST
\xffOST
"""),
    b"",
    b"X" * 9_000,
)

TARGETS = (
    *_each(r"""
/
*
//
/api/chat/
/api/chat?x=%
/api/chat#f
/api//chat
/api/%63hat
/%00
/%ff%fe
/\xff\xfe
/a b
/../../etc/passwd
/health
/health/live
/report
/metrics
http://elsewhere/api/chat
http://[::1
elsewhere:443
"""),
    b"",
    b"/" + b"a" * 9_000,
    b"/" + b"%41" * 6_000,
)

VERSIONS = (
    *_each(r"""
HTTP/1.0
HTTP/0.9
HTTP/1.2
HTTP/2.0
HTTP/9.9
HTTP/1.1.1
http/1.1
HTTX/1.1
HTTP/
HTTP/1.1\x20
"""),
    b"",
)

FIELDS = (
    *_each(r"""
Host: second
Host:
Host: a b
Host: \xff
 Host: folded
Content-Length: 0
Content-Length: -1
Content-Length: +5
Content-Length: 5, 5
Content-Length: 5, 6
Content-Length: 0x10
Content-Length: 1e3
Content-Length:
Content-Length: \xd9\xa1
Content-Length: 99999999999999999999999
Content-Length: 300000
Transfer-Encoding: chunked
Transfer-Encoding: xchunked
Transfer-Encoding: chunked, chunked
Transfer-Encoding: gzip, chunked
Transfer-Encoding: identity
Transfer-Encoding : chunked
Transfer-Encoding: \x0bchunked
Transfer-Encoding:\r\n chunked
Expect: 100-continue
Expect: a miracle
Upgrade: h2c
Upgrade: websocket
Connection: upgrade
Connection: upgrade\r\nUpgrade: h2c
Connection: upgrade\r\nUpgrade: websocket
Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__
Connection: close
Connection: keep-alive, close, \xff
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==
Content-Encoding: gzip
Content-Type: text/plain
Content-Type: application/json; charset=utf-7
Content-Type: \xff
Content-Type:
Accept: text/event-stream
Accept: \xff\x00
X-Correlation-ID: \r
X-Request-ID: a\x00b
X-Forwarded-For: ,,,;\xff
Forwarded: for="
Authorization: Bearer \xff
Origin: null
Access-Control-Request-Method: POST
: no name
no colon
a b: c
A:\x00
A:\x7f
A:\t
\xc3\xa9: e
\r
\n
"""),
    b"",
    b"X-Correlation-ID: " + b"i" * 129,
    b"Cookie: " + b"c" * 5_000,
    b"A: " + b"v" * 17_000,
    b"A: " + b"v" * 70_000,
    b"\r\n".join(b"F%d: v" % number for number in range(101)),
    b"\r\n".join(b"F%d: v" % number for number in range(2_000)),
)

CHATS = _each(r"""
{"message": "Hi"}
{"message": "Hi", "stream": true}
""")

BODIES = (
    *_each(r"""
\x20
null
[]
{}
0
""
{
{"message"
{"message": }
\xef\xbb\xbf{}
\xff\xfe{\x00}\x00
{"message": "\xff"}
{"message": "\xed\xa0\x80"}
{"message": "\\ud800"}
{"message": "\\ud800\\u0041"}
{"message": "\\u0000"}
{"message": "\x01"}
{"message": ""}
{"message": " "}
{"message": NaN}
{"message": 1e999}
{"message": {"message": "a"}}
{"message": "a", "message": "b"}
{"message": "a", "stream": 1}
{"message": "a", "stream": "yes"}
{"message": "a", "extra": 1}
{"message": "a", "messages": []}
{"message": null, "messages": null}
{"messages": []}
{"messages": [{}]}
{"messages": [{"role": "system", "content": "a"}]}
{"messages": [{"role": "user", "content": ""}]}
{"messages": [{"role": "assistant", "content": "a"}]}
message=a
--b\r\n\r\n--b--
"""),
    b"",
    b"\x00" * 1_000,
    b"9" * 5_000,
    b'{"message": ' + b"9" * 5_000 + b"}",
)

LARGE_BODIES = (
    b"[" * 200_000,
    b'{"a":' * 30_000,
    b'{"message": "' + b"a" * 200_000 + b'"}',
    b'{"message": "' + b"a" * 400_000 + b'"}',
    b'{"' + b"k" * 100_000 + b'": 1}',
    b'{"messages": [' + b",".join([b'{"role": "user", "content": "a"}'] * 3_000) + b"]}",
    b"{" + b",".join(b'"%d":1' % key for key in range(9_000)) + b"}",
)

CHUNK_SIZES = (
    *_each(r"""
-1
0x5
 5
5\x20
+5
g
FFFFFFFFFFFFFFFF
7fffffffffffffff
5;ext=\xff
"""),
    b"",
    b"5;" + b"e" * 20_000,
    b"0" * 100 + b"5",
)

GARBAGE = _each(r"""
\x00
\r
\n
\r\n
\r\n\r\n
\xff\xff\xff\xff
\x20
\t
:
HTTP/1.1 200 OK\r\n\r\n
\x16\x03\x01\x02\x00\x01
0\r\n\r\n
""")

PREFACES = _each(r"""
\r\n
\n
PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n
\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03
PROXY TCP4 1.1.1.1 2.2.2.2 3 4\r\n
\x00\x00\x00\x00\x00\x00\x00\x00
""")
