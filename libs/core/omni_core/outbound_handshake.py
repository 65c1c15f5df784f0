"""What is said to a proxy until it has opened a tunnel: CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928, 1929).

Sans-IO: each is a generator that is sent what came and yields what is to be written, until it returns; having written
something, it is sent nothing, as what it waits for may be there. What goes wrong
is ``ProxyFailed`` with a code of its own; where the proxy itself is well and cannot reach the target, that is
``UpstreamUnreachable``. Nothing that a proxy says is repeated but its status.
"""

import base64
import ipaddress
import re
from collections.abc import Generator

from omni_catalogue.proxies import Proxy
from omni_wire.errors import ProxyFailed, UpstreamUnreachable

Handshake = Generator[bytes, bytes, None]

_MOST_HEAD = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |\r|\n)")
_NO_WAY = (502, 503, 504)
# RFC 1928, 6.
_REPLIES = {
    1: "a general failure",
    2: "that its rules forbid it",
    3: "that the network is unreachable",
    4: "that the host is unreachable",
    5: "that the connection was refused",
    6: "that it took too long",
    7: "that it knows no CONNECT",
    8: "that it knows no such address",
}
_REPLIES_OF_THE_TARGET = (3, 4, 5, 6)


def handshake(proxy: Proxy, secret: str, host: str, port: int) -> Handshake:
    """Opens a tunnel to ``host``, a name or an address without brackets. ``secret`` is "user:password" or empty."""
    return _socks5(proxy, secret, host, port) if proxy.kind == "socks5" else _connect(proxy, secret, host, port)


def failed(proxy: Proxy, what: str, code: str) -> ProxyFailed:
    error = ProxyFailed(f"the proxy {proxy.name} {what}", code=f"proxy_{code}")
    error.proxy = proxy.name
    return error


def _connect(proxy: Proxy, secret: str, host: str, port: int) -> Handshake:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if secret:
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(secret.encode()).decode()}")
    head = yield "\r\n".join([*lines, "", ""]).encode("ascii")
    while (end := head.find(b"\r\n\r\n")) < 0:
        if len(head) > _MOST_HEAD or not _may_be_http(head):
            raise failed(proxy, "answered something that is not HTTP", "not_http")
        head += yield b""
    found = _STATUS.match(head)
    if found is None:
        raise failed(proxy, "answered something that is not HTTP", "not_http")
    status = int(found[1])
    if status == 407:
        raise failed(proxy, _asks_for_a_user(secret), "authentication")
    if status in _NO_WAY:
        raise UpstreamUnreachable(f"the proxy {proxy.name} found no way to the provider (status {status})")
    if not 200 <= status < 300:
        raise failed(proxy, f"answered status {status} to CONNECT", "refused")
    if len(head) > end + 4:  # who is called speaks second, so that is the proxy's own
        raise failed(proxy, "went on talking after it had opened the tunnel", "not_http")


def _may_be_http(head: bytes) -> bool:
    return head.startswith(b"HTTP/1."[: len(head)])


def _asks_for_a_user(secret: str) -> str:
    return "does not take its user and password (407)" if secret else "wants a user and a password (407)"


def _socks5(proxy: Proxy, secret: str, host: str, port: int) -> Handshake:
    said = bytearray()
    said += yield b"\x05\x02\x00\x02" if secret else b"\x05\x01\x00"
    version, method = yield from _exactly(said, 2)
    if version != 5:
        raise failed(proxy, "does not speak SOCKS5", "not_socks")
    if method == 2 and secret:
        user, _, password = (part.encode() for part in secret.partition(":"))
        if not 0 < len(user) < 256 or not 0 < len(password) < 256:
            raise failed(proxy, "takes a user and a password of 1 to 255 bytes, as user:password", "authentication")
        said += yield b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password
        _, status = yield from _exactly(said, 2)
        if status:
            raise failed(proxy, "does not take its user and password", "authentication")
    elif method:
        raise failed(proxy, "takes none of the ways to say who one is", "authentication")
    said += yield b"\x05\x01\x00" + _address(host) + port.to_bytes(2, "big")
    version, reply, _, kind = yield from _exactly(said, 4)
    if version != 5 or kind not in (1, 3, 4):
        raise failed(proxy, "does not speak SOCKS5", "not_socks")
    if reply in _REPLIES_OF_THE_TARGET:
        raise UpstreamUnreachable(f"the proxy {proxy.name} found no way to the provider: it says {_REPLIES[reply]}")
    if reply:
        raise failed(proxy, f"says {_REPLIES.get(reply, 'what no standard knows')}", "refused")
    size = 4 if kind == 1 else 16 if kind == 4 else (yield from _exactly(said, 1))[0]
    yield from _exactly(said, size + 2)
    if said:
        raise failed(proxy, "went on talking after it had opened the tunnel", "not_socks")


def _exactly(said: bytearray, size: int) -> Generator[bytes, bytes, bytes]:
    """The next ``size`` bytes of what was said."""
    while len(said) < size:
        said += yield b""
    found = bytes(said[:size])
    del said[:size]
    return found


def _address(host: str) -> bytes:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return b"\x03" + bytes([len(name)]) + name
    return (b"\x01" if ip.version == 4 else b"\x04") + ip.packed
