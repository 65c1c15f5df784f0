"""What a provider's words say where its status said 200."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.errors import UpstreamFailed, UpstreamRejected
from omni_wire.told_error import error_of, told_error, told_status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', 529),
        (b'{"error":{"type":"invalid_request_error","code":"model_not_found","message":"x"}}', 404),
        (b'{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}', 429),
        (b'[{"error":{"message":"no","status":"UNAVAILABLE"}}]', 503),
        (b'{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null}', 429),
        (b'{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}', 500),
        (b'{"error":{"code":200,"message":"x"}}', 0),
        (b'{"error":{"code":true,"type":["x"]}}', 0),
        (b'{"error":"just words"}', 0),
        (b"not JSON", 0),
        (b"[" * 5000, 0),
    ],
)
def test_words_stand_for_a_status(body: bytes, status: int) -> None:
    assert told_status(body) == status


def test_refusals_and_failures_are_told_apart() -> None:
    error = told_error(b'{"error":{"type":"rate_limit_error","message":"slow down"}}', "it broke off")
    assert isinstance(error, UpstreamRejected)
    assert (error.status, error.code, error.message) == (429, "upstream_rate_limited", "it broke off: slow down")
    assert isinstance(error_of("x", 0), UpstreamFailed)
    assert error_of("x", 0).status == 502


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything(body: bytes) -> None:
    told_error(body, "x")
