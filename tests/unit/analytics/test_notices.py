"""What a webhook is sent, how it is signed, and how often."""

import base64
import hashlib
import hmac
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_analytics.adapters.webhook import WEBHOOK, webhook
from omni_analytics.domain.notices import PAUSES, Notice, Webhook, pause_ms, post, signature
from omni_analytics.domain.reached import Reached
from omni_catalogue.notify import key_of
from omni_wire.errors import InvalidRequest

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
EVENT = Reached("l1/usd/month/9/80", 1_700_000_000_000, 80, 8, "l1", "team/ü/soft", "default", "usd", "month", 10)
HOOK = Webhook("https://hooks.example.com/in?a=b", KEY)


def test_it_is_signed_as_standard_webhooks_has_it() -> None:
    """The specification's own example (standard-webhooks 1.0.0, "Signature scheme")."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_call_has_all_of_the_event_and_the_same_id_at_every_try() -> None:
    first, later = (post(HOOK, Notice(EVENT, tries), 1_700_000_000 + tries) for tries in (1, 7))
    assert json.loads(first.body) == {"type": "limit.reached", "data": msgspec.structs.asdict(EVENT)}
    assert (first.method, first.url) == ("POST", HOOK.url)
    assert first.headers["webhook-id"] == later.headers["webhook-id"]
    assert first.headers["webhook-signature"] != later.headers["webhook-signature"]
    signed = f"{first.headers['webhook-id']}.{first.headers['webhook-timestamp']}.".encode() + first.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert first.headers["webhook-signature"] == f"v1,{expected}"
    assert all(value.isascii() and value.isprintable() for value in first.headers.values())


@given(st.binary(min_size=16, max_size=64), st.text(max_size=20), st.integers(0, 2**40), st.binary(max_size=50))
def test_another_key_id_time_or_body_has_another_signature(key: bytes, name: str, now: int, body: bytes) -> None:
    mine = signature(key, name, now, body)
    other = bytes((key[0] ^ 1,)) + key[1:]
    others = (signature(other, name, now, body), signature(key, name + "x", now, body))
    assert mine not in (*others, signature(key, name, now + 1, body), signature(key, name, now, body + b" "))


def test_it_is_tried_again_ever_later_and_then_given_up() -> None:
    pauses = [pause_ms(tries) for tries in range(1, len(PAUSES) + 2)]
    assert pauses[-1] is None
    assert pauses[:-1] == [seconds * 1000 for seconds in sorted(PAUSES)]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "hunter2", SECRET.replace("whsec_", ""), "whsec_!!!!"])
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        webhook({f"{WEBHOOK}_URL": HOOK.url, f"{WEBHOOK}_SECRET": secret})
    assert caught.value.param == f"{WEBHOOK}_SECRET"
    assert not secret or secret not in str(caught.value) or secret == "whsec_"


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "hooks.example.com", "https://", "https://u:p@a.example/", "http://a b/", "http://a:x/"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        webhook({f"{WEBHOOK}_URL": url, f"{WEBHOOK}_SECRET": SECRET})
    assert caught.value.param == f"{WEBHOOK}_URL"
    assert ":p@" not in str(caught.value)


def test_the_environment_says_where_to_and_shows_no_key(tmp_path: object) -> None:
    assert webhook({}) is None
    found = webhook({f"{WEBHOOK}_URL": HOOK.url, f"{WEBHOOK}_SECRET": SECRET, f"{WEBHOOK}_PRIVATE": "on"})
    assert found == Webhook(HOOK.url, KEY, True)
    assert "whsec" not in repr(found)
    assert str(KEY) not in repr(found)
    with pytest.raises(InvalidRequest, match="_PRIVATE is on or off"):
        webhook({f"{WEBHOOK}_URL": HOOK.url, f"{WEBHOOK}_SECRET": SECRET, f"{WEBHOOK}_PRIVATE": "maybe"})
    with pytest.raises(InvalidRequest, match="cannot read"):
        webhook({f"{WEBHOOK}_URL": HOOK.url, f"{WEBHOOK}_SECRET_FILE": f"{tmp_path}/none"})
