"""What is said to proxies: however its bytes arrive, and whatever they are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.proxies import Proxy
from omni_core.outbound_handshake import handshake
from omni_wire.errors import ProxyFailed, UpstreamUnreachable

HTTP = Proxy(name="office", kind="http", host="p", port=1)
SOCKS = Proxy(name="office", kind="socks5", host="p", port=1)
SECRET = "ann:pass:word"
OPENED = b"HTTP/1.1 200 OK\r\nvia: a\r\ncontent-length: 3\r\n\r\n"


def talk(proxy: Proxy, answers: bytes, cuts: list[int], secret: str = "", host: str = "192.0.2.1") -> bytes | None:
    """What was said until it was through; None where more would have to come."""
    going = handshake(proxy, secret, host, 443)
    said = next(going)
    places = sorted({0, len(answers), *(cut for cut in cuts if cut < len(answers))})
    for start, end in pairwise(places):
        data = answers[start:end]
        try:
            while answer := going.send(data):
                said += answer
                data = b""
        except StopIteration:
            return said
    return None


cuts = st.lists(st.integers(min_value=0, max_value=60), max_size=12)


@given(cuts)
def test_an_answer_may_come_in_any_pieces(at: list[int]) -> None:
    said = talk(HTTP, OPENED, at, SECRET, "2001:db8::1")
    assert said is not None
    assert said.startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n")
    assert b"Proxy-Authorization: Basic YW5uOnBhc3M6d29yZA==\r\n" in said
    socks = b"\x05\x02\x01\x00\x05\x00\x00\x03\x04name\x00\x50"
    assert talk(SOCKS, socks, at, SECRET) == (
        b"\x05\x02\x00\x02\x01\x03ann\x09pass:word\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb"
    )
    assert talk(SOCKS, b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", at, "", "a.example") == (
        b"\x05\x01\x00\x05\x01\x00\x03\x09a.example\x01\xbb"
    )


@given(st.sampled_from([HTTP, SOCKS]), st.binary(max_size=200), cuts, st.sampled_from(["", SECRET]))
def test_whatever_comes_it_is_through_or_waits_or_fails_by_the_proxys_name(
    proxy: Proxy, answers: bytes, at: list[int], secret: str
) -> None:
    told = ""
    try:
        talk(proxy, answers, at, secret)
    except (ProxyFailed, UpstreamUnreachable) as error:
        told = error.message
    assert not told or told.startswith("the proxy office ")
    assert "word" not in told.replace("password", "")


@pytest.mark.parametrize(
    ("proxy", "answer", "code"),
    [
        (HTTP, b"HTTP/1.1 407 Who\r\n\r\n", "proxy_authentication"),
        (HTTP, b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "proxy_refused"),
        (HTTP, b"HTTP/1.1 504 Late\r\n\r\n", "upstream_unreachable"),
        (HTTP, OPENED + b"x", "proxy_not_http"),
        (HTTP, b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 4000, "proxy_not_http"),
        (SOCKS, b"\x04\x00", "proxy_not_socks"),
        (SOCKS, b"\x05\xff", "proxy_authentication"),
        (SOCKS, b"\x05\x02\x01\x01", "proxy_authentication"),
        (SOCKS, b"\x05\x00\x05\x02\x00\x01", "proxy_refused"),
        (SOCKS, b"\x05\x00\x05\x05\x00\x01", "upstream_unreachable"),
        (SOCKS, b"\x05\x00\x05\x63\x00\x01", "proxy_refused"),
    ],
)
def test_each_way_to_fail_has_a_name(proxy: Proxy, answer: bytes, code: str) -> None:
    with pytest.raises((ProxyFailed, UpstreamUnreachable)) as raised:
        talk(proxy, answer, [], SECRET if b"\x02\x01" in answer else "")
    assert raised.value.code == code


@pytest.mark.parametrize("secret", ["ann", ":word", "a" * 256 + ":b", "ann:" + "b" * 256])
def test_what_socks_has_no_room_for_is_told_and_not_sent(secret: str) -> None:
    with pytest.raises(ProxyFailed) as raised:
        talk(SOCKS, b"\x05\x02", [], secret)
    assert raised.value.code == "proxy_authentication"
    assert secret not in raised.value.message
