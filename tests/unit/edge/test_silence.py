import math

import msgspec
import pytest
from omni_catalogue.rules import KEEP_ALIVE_OFF, Rules
from omni_catalogue.snapshot import Combo, KeyPolicy
from omni_edge.domain.silence import Silence, stream_asked_of
from omni_edge.domain.surfaces import match

from tests.support.edge import snapshot

RULED = msgspec.structs.replace(
    snapshot(),
    rules=Rules(keep_alive=10.0),
    combos=(
        Combo(name="soon", strategy="priority", targets=(), rules=Rules(keep_alive=2.0)),
        Combo(name="never", strategy="priority", targets=(), rules=Rules(keep_alive=KEEP_ALIVE_OFF)),
        Combo(name="plain", strategy="priority", targets=()),
    ),
    keys=(
        KeyPolicy(id="own", name="own", rules=Rules(keep_alive=4.0)),
        KeyPolicy(id="off", name="off", rules=Rules(keep_alive=KEEP_ALIVE_OFF)),
        KeyPolicy(id="any", name="any"),
    ),
)


@pytest.mark.parametrize(
    ("key", "model", "seconds"),
    [
        ("any", "m", 10.0), ("any", "plain", 10.0), ("any", "soon", 2.0), ("any", "never", math.inf),
        ("own", "soon", 4.0), ("off", "soon", math.inf), ("unknown", "m", 10.0),
    ],
)  # fmt: skip
def test_the_narrowest_place_that_says_something_counts(key: str, model: str, seconds: float) -> None:
    silence = Silence(15.0, RULED)
    assert silence.of(key, model) == seconds
    assert silence.shortest(key) <= seconds


def test_without_a_configuration_it_is_the_usual_time() -> None:
    assert Silence(15.0).of("any", "m") == Silence(15.0).shortest("any") == 15.0


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/v1/chat/completions", b'{"model":"m","stream":true}', "m"),
        ("/v1/chat/completions", b'{"model":"m"}', None),
        ("/v1/responses", b'{"stream":true}', ""),
        ("/v1/messages", b'{"model":7,"stream":true}', ""),
        ("/v1/messages", b'{"model":"m","stream":"true"}', None),
        ("/v1/messages", b"[" * 5000, None),
        ("/v1/messages/count_tokens", b'{"model":"m","stream":true}', None),
        ("/api/chat", b'{"model":"m"}', "m"),
        ("/api/chat", b'{"model":"m","stream":false}', None),
        ("/v1beta/models/a/b:streamGenerateContent", b"not looked into", "a/b"),
        ("/v1beta/models/a/b:generateContent", b'{"stream":true}', None),
    ],
)
def test_who_asks_for_a_stream(path: str, body: bytes, model: str | None) -> None:
    assert stream_asked_of(match(path), path, body) == model
