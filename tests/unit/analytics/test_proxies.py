"""Which proxy an attempt took, from the event to the row."""

from omni_analytics.adapters.decode import decode_batch
from omni_analytics.domain.rows import AttemptRow
from omniroute_proto.events.v1 import events_pb2

from tests.unit.analytics.events import attempt_event


def test_an_attempt_tells_its_proxy_and_whose_word_that_was() -> None:
    events = [attempt_event(proxy="office", proxy_level="provider"), attempt_event(id="a2")]
    rows = decode_batch(events_pb2.EventBatch(events=events).SerializeToString()).rows
    assert [(row.proxy, row.proxy_level) for row in rows if isinstance(row, AttemptRow)] == [
        ("office", "provider"),
        ("", ""),
    ]
