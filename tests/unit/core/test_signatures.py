"""Signatures of configurations: what is believed, what is not, and where the keys come from."""

from pathlib import Path

import pytest
from omni_core.settings import ConfigKeys, CoreSettings
from omni_core.signatures import NotSigned, PublicKeys, SigningKey
from omni_core.tls import CannotUse

KEY, OTHER = SigningKey.from_token("one"), SigningKey.from_token("another")
SNAPSHOT = b'{"revision": 7}'
SEALED = KEY.seal(SNAPSHOT)
DERIVED = ConfigKeys()
BELIEVED = PublicKeys([KEY.public])


def settings(keys: ConfigKeys = DERIVED, token: str = "one") -> CoreSettings:
    return CoreSettings(data_dir=Path(), redis_url="", nats_url="", token=token, peers={}, config_keys=keys)


def test_what_auth_has_signed_is_opened_and_signed_alike_each_time() -> None:
    assert BELIEVED.opened(SEALED) == SNAPSHOT
    assert KEY.seal(SNAPSHOT) == SEALED
    assert BELIEVED.opened(KEY.seal(b"")) == b""


def test_not_one_bit_can_be_changed() -> None:
    for place in range(len(SEALED)):
        for bit in range(8):
            changed = bytearray(SEALED)
            changed[place] ^= 1 << bit
            with pytest.raises(NotSigned):
                BELIEVED.opened(bytes(changed))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "it is not signed"),
        (SNAPSHOT, "it is not signed"),
        (SEALED[1:], "it is not signed"),
        (b"\n" + SEALED, "it is not signed"),
        (SEALED.partition(b"\n")[0], "it is not signed"),
        (SEALED + b" ", "its signature is wrong"),
        (SEALED[:-1], "its signature is wrong"),
        (SEALED.replace(b"7", b"8"), "its signature is wrong"),
        (OTHER.seal(SNAPSHOT), f"signed with the key {OTHER.id}, and only {KEY.id} is believed"),
        (OTHER.seal(SNAPSHOT).replace(OTHER.id.encode(), KEY.id.encode(), 1), "its signature is wrong"),
        (KEY.seal(SEALED)[:-1], "its signature is wrong"),
    ],
)
def test_what_is_not_believed_is_told_why(value: bytes, why: str) -> None:
    with pytest.raises(NotSigned, match=why):
        BELIEVED.opened(value)


def test_what_the_key_has_signed_as_something_else_is_no_configuration() -> None:
    """The header is a part of what is signed: bytes that were signed without it are worth nothing with it."""
    head, _, rest = KEY.seal(b"other").partition(b"\n")
    with pytest.raises(NotSigned):
        BELIEVED.opened(head + b"\nomniroute-config-1\n" + rest)


def test_the_key_of_a_service_token_is_the_same_everywhere_and_of_that_token_alone() -> None:
    assert SigningKey.of(settings()).id == KEY.id
    assert PublicKeys.of(settings()).opened(SEALED) == SNAPSHOT
    with pytest.raises(NotSigned):
        PublicKeys.of(settings(token="another")).opened(SEALED)


def test_with_keys_configured_the_service_token_signs_nothing_any_more() -> None:
    made = SigningKey.new()
    keys = ConfigKeys(public=made.public_pem().decode())
    with pytest.raises(NotSigned, match=f"only {made.id} is believed"):
        PublicKeys.of(settings(keys)).opened(SEALED)
    assert PublicKeys.of(settings(keys)).opened(made.seal(SNAPSHOT)) == SNAPSHOT


def test_who_has_the_key_to_sign_with_needs_no_public_one(tmp_path: Path) -> None:
    made, file = SigningKey.new(), tmp_path / "key.pem"
    file.write_bytes(made.pem())
    for keys in (ConfigKeys(signing=made.pem().decode()), ConfigKeys(signing_file=str(file))):
        assert SigningKey.of(settings(keys)).id == made.id
        assert PublicKeys.of(settings(keys)).opened(made.seal(SNAPSHOT)) == SNAPSHOT


def test_a_key_is_replaced_by_another_while_all_goes_on(tmp_path: Path) -> None:
    older, newer, file = SigningKey.new(), SigningKey.new(), tmp_path / "public.pem"
    file.write_bytes(older.public_pem())
    running = PublicKeys.of(settings(ConfigKeys(public_file=str(file))))
    assert running.opened(older.seal(SNAPSHOT)) == SNAPSHOT
    with pytest.raises(NotSigned):
        running.opened(newer.seal(SNAPSHOT))
    file.write_bytes(b"a note\n" + older.public_pem() + b"another\n" + newer.public_pem())
    assert running.opened(older.seal(SNAPSHOT)) == running.opened(newer.seal(SNAPSHOT)) == SNAPSHOT
    file.write_bytes(newer.public_pem())
    assert running.opened(newer.seal(SNAPSHOT)) == SNAPSHOT
    with pytest.raises(NotSigned):
        running.opened(older.seal(SNAPSHOT))


def test_a_file_of_public_keys_that_goes_bad_leaves_those_that_were_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(KEY.public_pem())
    running = PublicKeys.of(settings(ConfigKeys(public_file=str(file))))
    file.write_bytes(b"")
    assert running.opened(SEALED) == SNAPSHOT
    file.unlink()
    assert running.opened(SEALED) == SNAPSHOT
    assert "has no public key in PEM" in caplog.text
    assert "No such file" in caplog.text


BAD_PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
EC = (
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/"
    "hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n"
)


@pytest.mark.parametrize(
    ("public", "why"),
    [
        ("nothing", "has no public key"),
        (BAD_PEM, "no public key in PEM"),
        (EC, "another kind than Ed25519"),
        (KEY.pem().decode(), "a private key, which is for auth alone"),
    ],
)
def test_public_keys_that_are_none_are_refused_at_the_start(public: str, why: str) -> None:
    with pytest.raises(CannotUse, match=f"OMNIROUTE_CONFIG_PUBLIC_KEYS .*{why}"):
        PublicKeys.of(settings(ConfigKeys(public=public)))


@pytest.mark.parametrize(("signing", "why"), [("nothing", "is no private key"), (EC, "is no private key")])
def test_a_key_to_sign_with_that_is_none_is_refused_at_the_start(signing: str, why: str) -> None:
    with pytest.raises(CannotUse, match=f"OMNIROUTE_CONFIG_SIGNING_KEY {why}"):
        SigningKey.of(settings(ConfigKeys(signing=signing)))


def test_a_key_that_nobody_would_believe_is_refused_at_the_start() -> None:
    keys = ConfigKeys(signing=KEY.pem().decode(), public=OTHER.public_pem().decode())
    with pytest.raises(CannotUse, match=f"{KEY.id}, is not in OMNIROUTE_CONFIG_PUBLIC_KEYS"):
        SigningKey.of(settings(keys))
    with pytest.raises(CannotUse, match="is not in"):
        SigningKey.of(settings(ConfigKeys(public=OTHER.public_pem().decode())))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(CannotUse, match="cannot read OMNIROUTE_CONFIG_PUBLIC_KEYS_FILE /nowhere: No such file"):
        PublicKeys.of(settings(ConfigKeys(public_file="/nowhere")))


def test_settings_come_from_the_environment_and_show_no_key() -> None:
    env = {f"OMNIROUTE_CONFIG_{name}": name for name in ("SIGNING_KEY", "PUBLIC_KEYS", "PUBLIC_KEYS_FILE")}
    read = CoreSettings.from_env(env, redis_url="", nats_url="", token="t").config_keys
    assert (read.signing, read.signing_file, read.public) == ("SIGNING_KEY", "", "PUBLIC_KEYS")
    assert read.public_file == "PUBLIC_KEYS_FILE"
    assert "SIGNING" not in repr(read)
    assert KEY.pem().decode().split("\n")[1] not in repr(KEY)
