"""Webhooks that are told of limits, as the configuration names them, and what their secrets look like."""

import base64
import binascii

import msgspec
from omni_wire.errors import InvalidRequest

PREFIX = "notify:"  # no account's id has a colon before its slash
SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins, as Standard Webhooks has it
_LEAST_KEY, _MOST_KEY = 16, 64  # bytes


class Webhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``secret_version`` tells one secret from another; the secret is had from auth as an account's under ``id``. It is
    told of limits of ``organisation``, "" for all, that come to one of ``percents``, none for all. ``allow_private``
    lets its address be a private one."""

    name: str
    url: str
    secret_version: str
    organisation: str = ""
    percents: tuple[int, ...] = ()
    allow_private: bool = False

    @property
    def id(self) -> str:
        return PREFIX + self.name

    def wants(self, organisation: str, percent: int) -> bool:
        return self.organisation in ("", organisation) and (not self.percents or percent in self.percents)


def key_of(secret: str) -> bytes:
    """The bytes to sign with. Raises ``InvalidRequest``, without repeating the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True) if _begins(secret) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not _LEAST_KEY <= len(key) <= _MOST_KEY:
        told = f"a webhook's secret is {SECRET_PREFIX} and the base64 of {_LEAST_KEY} to {_MOST_KEY} bytes"
        raise InvalidRequest(f"{told}: echo {SECRET_PREFIX}$(openssl rand -base64 32)")
    return key


def _begins(secret: str) -> bool:
    return secret.startswith(SECRET_PREFIX)
