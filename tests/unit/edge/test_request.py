from hashlib import sha256

import pytest
from omni_edge.domain.request import media_refusal, read_head, read_query, spoken, wants_events
from omni_wire.formats import WireFormat

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_bearer_key_is_known_only_by_its_digest() -> None:
    inbound = read_head([(b"authorization", b"Bearer or-secret")])
    assert inbound.key_digest == sha256(b"or-secret").digest()
    assert "or-secret" not in repr(inbound)


@pytest.mark.parametrize("name", [b"x-api-key", b"x-goog-api-key"])
def test_vendors_own_key_headers_are_read_too(name: bytes) -> None:
    assert read_head([(name, b"k")]).key_digest == sha256(b"k").digest()


@pytest.mark.parametrize("value", [b"", b"Bearer", b"Bearer  ", b"Basic dXNlcjpwYXNz"])
def test_an_authorization_without_a_bearer_key_is_no_key(value: bytes) -> None:
    assert read_head([(b"authorization", value)]).key_digest is None


def test_the_bearer_key_wins_over_the_others() -> None:
    inbound = read_head([(b"x-api-key", b"b"), (b"authorization", b"bearer a")])
    assert inbound.key_digest == sha256(b"a").digest()


def test_a_well_formed_request_id_and_trace_are_kept() -> None:
    inbound = read_head([(b"x-request-id", b"My.id-1_2"), (b"traceparent", TRACE)])
    assert (inbound.request_id, inbound.traceparent) == ("My.id-1_2", TRACE.decode())


@pytest.mark.parametrize("value", [b"", b"x" * 65, b"a b", b"a\xe9", b"<script>", b"or-0a1b2c3d-x", b"sk-proj"])
def test_an_ill_formed_request_id_or_one_that_looks_like_a_key_is_not_taken(value: bytes) -> None:
    assert read_head([(b"x-request-id", value)]).request_id == ""


def test_an_ill_formed_trace_is_not_taken() -> None:
    assert read_head([(b"traceparent", TRACE[:-1] + b"X")]).traceparent == ""


def test_only_listed_headers_go_on_and_never_a_credential() -> None:
    inbound = read_head(
        [
            (b"authorization", b"Bearer s3cret"), (b"x-api-key", b"s3cret"), (b"x-goog-api-key", b"s3cret"),
            (b"cookie", b"s3cret"), (b"proxy-authorization", b"s3cret"), (b"host", b"h"),
            (b"user-agent", b"sdk/1"), (b"idempotency-key", b"i"), (b"x-omniroute-strict", b"1"),
            (b"tracestate", b"a=b"), (b"anthropic-beta", b"x"),
        ]
    )  # fmt: skip
    assert inbound.headers == {
        "user-agent": "sdk/1", "idempotency-key": "i", "x-omniroute-strict": "1", "tracestate": "a=b",
        "anthropic-beta": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "length"),
    [([], 0), ([(b"content-length", b"12")], 12), ([(b"transfer-encoding", b"chunked")], -1)],
)
def test_the_announced_size_is_known(headers: list[tuple[bytes, bytes]], length: int) -> None:
    assert read_head(headers).length == length


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/json",
        b"application/json; charset=utf-8",
        b"Application/JSON",
        b'application/json;charset="UTF-8"',
    ],
)
def test_json_is_taken(content_type: bytes) -> None:
    assert media_refusal(content_type, b"") is None
    assert media_refusal(content_type, b"identity") is None


@pytest.mark.parametrize(
    "content_type",
    [b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x",
     b"application/json; charset=latin-1", b"application/jsonp"],
)  # fmt: skip
def test_anything_else_is_refused_with_415(content_type: bytes) -> None:
    refusal = media_refusal(content_type, b"")
    assert refusal is not None
    assert refusal.status == 415


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"compress", b"gzip, gzip"])
def test_a_body_compressed_in_no_way_of_ours_is_refused_with_415(encoding: bytes) -> None:
    refusal = media_refusal(b"application/json", encoding)
    assert refusal is not None
    assert refusal.status == 415


def test_the_last_of_a_repeated_header_counts() -> None:
    inbound = read_head(
        [(b"user-agent", b"a"), (b"content-type", b"x/y"), (b"user-agent", b"b"), (b"content-type", b"z")]
    )
    assert (inbound.headers, inbound.content_type) == ({"user-agent": "b"}, b"z")


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ([], False),
        ([(b"sec-fetch-site", b"same-origin")], False),
        ([(b"sec-fetch-site", b"none")], False),
        ([(b"sec-fetch-site", b"cross-site")], True),
        ([(b"sec-fetch-site", b"same-site")], True),
        ([(b"origin", b"http://gw:20128")], False),
        ([(b"origin", b"http://GW:20128")], False),
        ([(b"origin", b"http://gw:3000")], True),
        ([(b"origin", b"https://evil.example")], True),
        ([(b"origin", b"null")], True),
        ([(b"origin", b"https://evil.example"), (b"authorization", b"Bearer k")], False),
    ],
)
def test_a_request_without_a_key_from_another_sites_page_is_foreign(
    headers: list[tuple[bytes, bytes]], foreign: bool
) -> None:
    assert read_head([(b"host", b"gw:20128"), *headers]).foreign is foreign


def test_a_schemes_own_port_makes_no_other_host_and_no_host_is_nobodys() -> None:
    assert not read_head([(b"host", b"gw:443"), (b"origin", b"https://gw")]).foreign
    assert read_head([(b"origin", b"https://gw")]).foreign


def digest(key: bytes) -> bytes:
    return sha256(key).digest()


@pytest.mark.parametrize(
    ("query", "key"),
    [
        (b"key=or-1", b"or-1"),
        (b"alt=sse&key=or-1", b"or-1"),
        (b"key=%6fr-1", b"or-1"),
        (b"key=%20or-1%20", b"or-1"),
        (b"key=%ff", b"\xff"),
        (b"key=first&key=second", b"first"),
    ],
)
def test_googles_key_is_read_from_the_query(query: bytes, key: bytes) -> None:
    assert read_head([], query).key_digest == digest(key)


@pytest.mark.parametrize(
    "query", [b"", b"key", b"key=", b"key=%20", b"monkey=x", b"alt=sse", b"keys=x", b"&&=&", b"\xff"]
)
def test_a_query_without_a_key_has_none(query: bytes) -> None:
    assert read_head([], query).key_digest is None


def test_a_headers_key_goes_before_the_querys() -> None:
    assert read_head([(b"x-goog-api-key", b"a")], b"key=b").key_digest == digest(b"a")
    assert not read_head([(b"host", b"gw"), (b"origin", b"https://evil.example")], b"key=b").foreign


def test_what_a_page_is_told_of_the_query_is_not_the_key() -> None:
    assert read_query(b"limit=2&key=or-1&after_id=a%2Fb&limit=3&blank=") == {
        "limit": "3", "after_id": "a/b", "blank": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "events"),
    [
        (b"", False), (b"alt=sse", True), (b"alt=json", False), (b"$alt=sse", True), (b"%24alt=sse", True),
        (b"a=1&alt=sse", True), (b"salt=sse", False), (b"alt=", False), (b"x=alt%3Dsse", False),
    ],
)  # fmt: skip
def test_alt_asks_for_events(query: bytes, events: bool) -> None:
    assert wants_events(query) is events


@pytest.mark.parametrize(
    ("headers", "query", "dialect"),
    [
        ([], b"", WireFormat.OPENAI_CHAT),
        ([], b"limit=2", WireFormat.OPENAI_CHAT),
        ([], b"key=k", WireFormat.GEMINI_GENERATE),
        ([(b"authorization", b"Bearer k")], b"", WireFormat.OPENAI_CHAT),
        ([(b"authorization", b"Bearer k"), (b"x-api-key", b"k")], b"", WireFormat.OPENAI_CHAT),
        ([(b"authorization", b"Bearer k"), (b"anthropic-version", b"v")], b"", WireFormat.ANTHROPIC_MESSAGES),
        ([(b"x-api-key", b"k")], b"", WireFormat.ANTHROPIC_MESSAGES),
        ([(b"x-goog-api-key", b"k")], b"", WireFormat.GEMINI_GENERATE),
        ([(b"authorization", b"Bearer k"), (b"x-goog-api-client", b"c")], b"", WireFormat.GEMINI_GENERATE),
        ([(b"user-agent", b"app google-genai-sdk/3 gl-node/24")], b"", WireFormat.GEMINI_GENERATE),
    ],
)
def test_a_dialect_shows_in_its_headers(headers: list[tuple[bytes, bytes]], query: bytes, dialect: WireFormat) -> None:
    assert spoken(headers, query) is dialect
