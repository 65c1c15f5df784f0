"""Rows and batches for the tests of analytics."""

from typing import Any

from omni_analytics.domain.rows import AttemptRow, RequestRow
from omniroute_proto.events.v1 import events_pb2

T0 = 1_760_000_400_000  # a whole hour would be …_400_000 - 2_800_000; this is inside one

ATTEMPT = AttemptRow(
    id="a1", seq=1, request_id="r1", started_ms=T0, duration_ms=900, first_byte_ms=120, key_id="k1", provider="acme",
    account_id="acme/first", model="gpt-x", provider_format="openai.chat", outcome="ok", error_kind="",
    provider_status=200, input_tokens=100, cached_input_tokens=10, cache_write_tokens=5, output_tokens=50,
    reasoning_tokens=7, estimated=False, cost_nano_usd=600_000, reserved_nano_usd=900_000, pricing="priced",
    overrun=False, config_revision=3, router_id="router-1", repriced_nano_usd=0, apart="", price_version="v1",
    charged="key limit-all", suspect="", proxy="", proxy_level="",
)  # fmt: skip

REQUEST = RequestRow(
    id="r1", seq=1, started_ms=T0, duration_ms=950, first_byte_ms=130, key_id="k1", client_format="openai.chat",
    model_requested="always-on", combo="always-on", provider="acme", account_id="acme/first", model_served="gpt-x",
    stream=True, status=200, error_kind="", attempts=1, input_tokens=100, cached_input_tokens=10,
    cache_write_tokens=5, output_tokens=50, reasoning_tokens=7, estimated=False, cost_nano_usd=600_000, overhead_us=430,
    pricing="priced", outcome="ok", losses="[]", config_revision=3, router_id="router-1", request_id="mine",
)  # fmt: skip


def attempt_event(**changed: Any) -> events_pb2.Event:
    """``changed`` are fields of the protobuf; ``usage`` a dict."""
    fields: dict[str, Any] = {
        "id": "a1", "request_id": "r1", "seq": 1, "started_ms": T0, "duration_ms": 900, "first_byte_ms": 120,
        "key_id": "k1", "provider": "acme", "account_id": "acme/first", "model": "gpt-x",
        "provider_format": "openai.chat", "outcome": "ok", "provider_status": 200, "cost_nano_usd": 600_000,
        "reserved_nano_usd": 900_000, "pricing": "priced", "config_revision": 3, "router_id": "router-1",
        "price_version": "v1", "charged": "key limit-all",
        "usage": {"input_tokens": 100, "cached_input_tokens": 10, "cache_write_tokens": 5, "output_tokens": 50,
                  "reasoning_tokens": 7},
    }  # fmt: skip
    return events_pb2.Event(attempt=events_pb2.AttemptEvent(**(fields | changed)))


def request_event(**changed: Any) -> events_pb2.Event:
    fields: dict[str, Any] = {
        "id": "r1", "seq": 1, "started_ms": T0, "duration_ms": 950, "first_byte_ms": 130, "key_id": "k1",
        "client_format": "openai.chat", "model_requested": "always-on", "combo": "always-on", "provider": "acme",
        "account_id": "acme/first", "model_served": "gpt-x", "stream": True, "status": 200, "attempts": 1,
        "cost_nano_usd": 600_000, "pricing": "priced", "outcome": "ok", "config_revision": 3, "router_id": "router-1",
        "request_id": "mine", "overhead_us": 430,
        "usage": {"input_tokens": 100, "cached_input_tokens": 10, "cache_write_tokens": 5, "output_tokens": 50,
                  "reasoning_tokens": 7},
    }  # fmt: skip
    return events_pb2.Event(request=events_pb2.RequestEvent(**(fields | changed)))


def batch(*events: events_pb2.Event, batch_id: str = "b1") -> bytes:
    return events_pb2.EventBatch(batch_id=batch_id, router_id="router-1", events=events).SerializeToString()
