"""What the books are told of a slice that was lost."""

from omni_core.clock import now_ms
from omni_router.build import _lost
from omniroute_proto.events.v1 import events_pb2


def test_it_is_an_aborted_attempt_of_its_key_on_the_budgets_that_it_was_of() -> None:
    attempt = events_pb2.Event.FromString(_lost("r1", "slice", "key-ci", ("key-ci", "limit:abc"))).attempt
    assert (attempt.id, attempt.key_id, attempt.router_id) == ("slice", "key-ci", "r1")
    assert (attempt.outcome, attempt.error_kind, attempt.seq, attempt.first_byte_ms) == ("aborted", "internal", 0, -1)
    assert list(attempt.charged) == ["key", "abc"]
    assert 0 < attempt.started_ms <= now_ms()
    assert (attempt.request_id, attempt.provider, attempt.cost_nano_usd) == ("", "", 0)
