"""Snapshots as auth publishes them: signed, by default with the key of the service token "t"."""

from collections.abc import Mapping
from pathlib import Path

from omni_catalogue.snapshot import Snapshot, decode, encode
from omni_core.settings import ConfigKeys, CoreSettings
from omni_core.signatures import PublicKeys, SigningKey

TOKEN = "t"


def signed(snapshot: Snapshot | bytes, token: str = TOKEN) -> bytes:
    return SigningKey.from_token(token).seal(snapshot if isinstance(snapshot, bytes) else encode(snapshot))


def believed(token: str = TOKEN) -> PublicKeys:
    return PublicKeys([SigningKey.from_token(token).public])


def read(value: bytes, token: str = TOKEN) -> Snapshot:
    """Raises ``NotSigned``."""
    return decode(believed(token).opened(value))


def signs_what_the_others_know(made: Mapping[str, str]) -> None:
    """Of the two secrets by their names: whether they are a pair, as PEM, and each what it is called."""
    settings = CoreSettings(
        data_dir=Path(), redis_url="", nats_url="", token=TOKEN, peers={},
        config_keys=ConfigKeys(signing=made["config_signing_key"], public=made["config_public_keys"]),
    )  # fmt: skip
    assert PublicKeys.of(settings).opened(SigningKey.of(settings).seal(b"{}")) == b"{}"
