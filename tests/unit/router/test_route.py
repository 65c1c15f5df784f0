"""A URL is taken apart once, and nothing in a request can break out of its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.adapters.route import Route
from omni_wire.errors import UpstreamUnreachable


def route(url: str) -> Route:
    return Route(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://api.example.com/v1/chat", "/v1/chat", "api.example.com"),
        ("https://api.example.com", "/", "api.example.com"),
        ("https://API.Example.com:443/v1", "/v1", "api.example.com"),
        ("https://api.example.com:8443/v1", "/v1", "api.example.com:8443"),
        ("http://api.example.com:80/a%20b?version=1&x=%2F", "/a%20b?version=1&x=%2F", "api.example.com"),
        ("http://[2606:4700::1]:9000/v1", "/v1", "[2606:4700::1]:9000"),
        ("http://[fe80::1%2]/v1", "/v1", "[fe80::1]"),
        ("http://bücher.example/é x", "/%C3%A9%20x", "xn--bcher-kva.example"),
    ],
)
def test_the_request_names_path_and_host(url: str, line: str, host: str) -> None:
    head = route(url).encode({"accept": "a"}, b"{}")
    assert head == f"POST {line} HTTP/1.1\r\nhost: {host}\r\naccept: a\r\ncontent-length: 2\r\n\r\n{{}}".encode()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "example.com/v1",
        "http://",
        "http:///v1",
        "http://a b/v1",
        "http://example.com:x",
        "http://example.com:99999",
        "http://user:secret@example.com/",
        "http://[::1/v1",
        "http://" + "é" * 70 + ".com",
    ],
)
def test_what_is_no_http_url_is_unreachable_and_not_repeated(url: str) -> None:
    with pytest.raises(UpstreamUnreachable) as caught:
        route(url)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\ny", "a\ry", "a\0b", "\x7f", "\ud800", "a\u2028b"])
def test_a_value_with_control_characters_is_refused(value: str) -> None:
    with pytest.raises(UpstreamUnreachable) as caught:
        route("http://e.com/").encode({"authorization": value}, b"")
    assert caught.value.code == "header_refused"


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é", "Host", "Content-Length", "transfer-encoding"])
def test_a_name_that_is_no_token_or_ours_is_refused(name: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        route("http://e.com/").encode({name: "x"}, b"")


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4), st.binary(max_size=20))
def test_whatever_the_headers_the_head_has_one_line_for_each(headers: dict[str, str], body: bytes) -> None:
    try:
        data = route("http://e.com/50%25/%s").encode(headers, body)
    except UpstreamUnreachable:
        return
    head, _, rest = data.partition(b"\r\n\r\n")
    assert rest == body
    assert head.count(b"\n") == head.count(b"\r") == 2 + len(headers)
    assert [line.partition(b": ")[2].decode() for line in head.split(b"\r\n")[2:-1]] == list(headers.values())
