"""Requests that two readers could cut in different places, each on a raw socket with a second one hidden behind it.

Each is refused, told so once, and its connection closed: whatever came behind it was no request.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from tests.support.edge import KEY, running_edge

POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
HEAD = b"Host: gateway\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n" % KEY.encode()
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"


def lines(*lines: bytes, body: bytes = b"{}", first: bytes = POST) -> bytes:
    return first + HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunked(body: bytes, *more: bytes) -> bytes:
    return lines(b"Transfer-Encoding: chunked", *more, body=body)


LENGTH = b"Content-Length: 2"
ENDED = b"0\r\n\r\n"

REFUSED: dict[str, bytes] = {
    # the length of the body, said twice or in no way there is
    "content-length and transfer-encoding": lines(LENGTH, b"Transfer-Encoding: chunked", body=ENDED),
    "transfer-encoding and content-length": lines(b"Transfer-Encoding: chunked", LENGTH, body=ENDED),
    "two lengths, the same": lines(LENGTH, LENGTH),
    "two lengths, different": lines(LENGTH, b"Content-Length: 3"),
    "a list of lengths": lines(b"Content-Length: 2, 2"),
    "a length with a sign": lines(b"Content-Length: +2"),
    "a negative length": lines(b"Content-Length: -2"),
    "a length in hexadecimal": lines(b"Content-Length: 0x2"),
    "a length with a blank in it": lines(b"Content-Length: 2 2"),
    "a length with an underscore": lines(b"Content-Length: 2_0"),
    "a length beyond 64 bits": lines(b"Content-Length: 99999999999999999999999"),
    "an empty length": lines(b"Content-Length:"),
    "a length with a line feed in it": lines(b"Content-Length: 2\n"),
    "a length spelt with an underscore": lines(b"Content_Length: 5", LENGTH),
    "a length's name and a blank": lines(b"Content-Length : 2"),
    # how the body is encoded on its way
    "an encoding spelt with an underscore": lines(b"Transfer_Encoding: chunked", LENGTH),
    "identity": lines(b"Transfer-Encoding: identity"),
    "gzip before chunked": chunked(ENDED).replace(b": chunked", b": gzip, chunked"),
    "identity after chunked": chunked(ENDED).replace(b": chunked", b": chunked, identity"),
    "chunked twice": chunked(ENDED).replace(b": chunked", b": chunked, chunked"),
    "chunked in two lines": chunked(ENDED, b"Transfer-Encoding: chunked"),
    "chunked and identity in two lines": chunked(ENDED, b"Transfer-Encoding: identity"),
    "xchunked": chunked(ENDED).replace(b": chunked", b": xchunked"),
    "chunked behind a vertical tab": chunked(ENDED).replace(b": chunked", b": \x0bchunked"),
    "chunked in quotes": chunked(ENDED).replace(b": chunked", b': "chunked"'),
    "chunked with a parameter": chunked(ENDED).replace(b": chunked", b": chunked;q=1"),
    "chunked on a line of its own": chunked(ENDED).replace(b": chunked", b":\r\n chunked"),
    "a blank before the colon": chunked(ENDED).replace(b"Encoding:", b"Encoding :"),
    "an empty encoding": lines(b"Transfer-Encoding:", LENGTH),
    "chunked in HTTP/1.0": chunked(ENDED).replace(b"HTTP/1.1", b"HTTP/1.0"),
    # chunks
    "a chunk of 2^64 bytes": chunked(b"10000000000000000\r\n{}"),
    "a chunk beyond 64 bits": chunked(b"FFFFFFFFFFFFFFFFF\r\n{}"),
    "a chunk's size with 0x": chunked(b"0x2\r\n{}\r\n" + ENDED),
    "a negative chunk": chunked(b"-2\r\n{}\r\n" + ENDED),
    "a blank before a chunk's size": chunked(b" 2\r\n{}\r\n" + ENDED),
    "a blank behind a chunk's size": chunked(b"2 \r\n{}\r\n" + ENDED),
    "a chunk's size and a line feed": chunked(b"2\n{}\r\n" + ENDED),
    "a chunk's data and a line feed": chunked(b"2\r\n{}\n" + ENDED),
    "a chunk that is longer than it says": chunked(b"2\r\n{}}\r\n" + ENDED),
    "a chunk without a size": chunked(b"\r\n{}\r\n" + ENDED),
    "an extension with NUL": chunked(b"2;a=\x00b\r\n{}\r\n" + ENDED),
    "an extension with a line feed": chunked(b"2;a\nxx\r\n{}\r\n" + ENDED),
    "an extension with a carriage return": chunked(b"2;a\rb\r\n{}\r\n" + ENDED),
    "an extension without a name": chunked(b"2;\r\n{}\r\n" + ENDED),
    "an extension whose quotes do not end": chunked(b'2;a="b\\"\r\n{}\r\n' + ENDED),
    "a last chunk and line feeds": chunked(b"2\r\n{}\r\n0\n\n"),
    "a length in the trailer": chunked(b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n"),
    # lines
    "a folded line": lines(b"X-A: b\r\n c", LENGTH),
    "a folded line with a tab": lines(b"X-A: b\r\n\tc", LENGTH),
    "line feeds alone": lines(LENGTH).replace(b"\r\n", b"\n"),
    "one line feed alone": lines(b"X: y\nX: z", LENGTH),
    "one carriage return alone": lines(b"X: y\rX: z", LENGTH),
    "NUL in a value": lines(b"X: a\x00b", LENGTH),
    "NUL in a name": lines(b"X\x00Y: a", LENGTH),
    "a name that is none": lines(b"X\xff: a", LENGTH),
    "a name with a blank": lines(b"X Y: a", LENGTH),
    "a line without a colon": lines(b"Garbage", LENGTH),
    "a line without a name": lines(b": x", LENGTH),
    "a blank before the first line": POST + b" X: y\r\n" + HEAD + LENGTH + b"\r\n\r\n{}",
    # whom it is for
    "two hosts": lines(b"Host: elsewhere", LENGTH),
    "two hosts, the same": lines(b"Host: gateway", LENGTH),
    "no host": lines(LENGTH).replace(b"Host: gateway\r\n", b""),
    "a list of hosts": lines(LENGTH).replace(b"Host: gateway", b"Host: gateway, elsewhere"),
    "a host with a user": lines(LENGTH).replace(b"Host: gateway", b"Host: gateway@elsewhere"),
    "a host with a path": lines(LENGTH).replace(b"Host: gateway", b"Host: gateway/elsewhere"),
    "a URL of another host": lines(LENGTH).replace(b" /v1", b" http://elsewhere/v1"),
    "a URL of no scheme of ours": lines(LENGTH).replace(b" /v1", b" ftp://gateway/v1"),
    "a target that is a host": lines(LENGTH).replace(b" /v1/chat/completions", b" gateway:80"),
    "a target that is a star": lines(LENGTH).replace(b" /v1/chat/completions", b" *"),
    "a target with a fragment": lines(LENGTH).replace(b"completions", b"completions#x"),
    "a target with a control character": lines(LENGTH).replace(b"/v1/", b"/v1/\x01"),
    "a target with a byte beyond ASCII": lines(LENGTH).replace(b"/v1/", b"/v1/\xc3\xa9"),
    "CONNECT": b"CONNECT elsewhere:443 HTTP/1.1\r\n" + HEAD + b"\r\n",
    # which protocol it is
    "HTTP/0.9": b"GET /healthz\r\n",
    "HTTP/1.2": lines(LENGTH).replace(b"HTTP/1.1", b"HTTP/1.2"),
    "HTTP/2.0": lines(LENGTH).replace(b"HTTP/1.1", b"HTTP/2.0"),
    "HTTP in small letters": lines(LENGTH).replace(b"HTTP/1.1", b"http/1.1"),
    "HTTP/2's own beginning": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an upgrade to HTTP/2 with a body": lines(b"Connection: Upgrade", b"Upgrade: h2c", LENGTH),
    "a method that is none": lines(LENGTH, first=POST.replace(b"POST", b"SEND")),
    "a method in small letters": lines(LENGTH, first=POST.replace(b"POST", b"post")),
    "a tab before the target": lines(LENGTH, first=POST.replace(b" /", b"\t/")),
}

# Unusual, and in one way only: these are taken for what they are. With the body that reaches the router.
TAKEN: dict[str, tuple[bytes, bytes]] = {
    "chunked in capitals": (chunked(b"2\r\n{}\r\n" + ENDED).replace(b": chunked", b": CHUNKED"), b"{}"),
    "chunked behind a tab": (chunked(b"2\r\n{}\r\n" + ENDED).replace(b": chunked", b":\tchunked"), b"{}"),
    "an extension": (chunked(b'2;a=b;c="d"\r\n{}\r\n' + ENDED), b"{}"),
    "zeros before a chunk's size": (chunked(b"00000002\r\n{}\r\n" + ENDED), b"{}"),
    "a key in the trailer": (chunked(b"2\r\n{}\r\n0\r\nAuthorization: Bearer other\r\n\r\n"), b"{}"),
    "empty lines before it": (b"\r\n\r\n" + lines(LENGTH), b"{}"),
    "a URL of this host": (lines(LENGTH).replace(b" /v1", b" http://gateway/v1"), b"{}"),
    "a length with zeros": (lines(b"Content-Length: 002"), b"{}"),
}


async def of_the_corpus(home: Path, seed: int) -> dict[str, Any]:
    """``seed`` changes nothing: there is no chance."""
    wrong: list[str] = []
    async with running_edge() as edge:
        for name, request in REFUSED.items():
            heard, closed = await _tell(edge.port, request + HIDDEN)
            statuses = [int(line[9:12]) for line in heard.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
            if len(statuses) != 1 or statuses[0] < 400 or statuses[0] in (401, 500) or not closed or edge.router.calls:
                wrong.append(f"{name}: answered {statuses}, {'closed' if closed else 'left open'}")
                edge.router.calls.clear()
        for name, (request, body) in TAKEN.items():
            heard, _ = await _tell(edge.port, request + HIDDEN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            bodies = [call.body for call in edge.router.calls]
            if heard.count(b"HTTP/1.1 200 OK") != 2 or bodies != [body]:
                wrong.append(f"{name}: reached the router as {bodies}, answered {heard[:60]!r}")
            edge.router.calls.clear()
    return {
        "refused": len(REFUSED), "taken": len(TAKEN), "not_as_declared": len(wrong), "first": wrong[:10],
        "pass": not wrong,
    }  # fmt: skip


async def _tell(port: int, data: bytes) -> tuple[bytes, bool]:
    """What is answered, and whether the connection is closed without our asking."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        writer.write(data)
        async with asyncio.timeout(20):
            while piece := await reader.read(65_536):
                heard += piece
    except TimeoutError:
        return heard, False
    except ConnectionError:  # closed on what we had still to say
        pass
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return heard, True
