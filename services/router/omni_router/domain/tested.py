"""What to do about a test of an account or a proxy that failed, and what an echo told."""

import re
from ipaddress import ip_address

from omni_wire.errors import (
    CredentialUnavailable,
    GatewayError,
    ProxyFailed,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)

from omni_router.domain.verdict import QUOTA_SPENT

_WORD = re.compile(r"[0-9A-Fa-f:.]{2,45}")


def advice(asked: str, error: GatewayError, model: str) -> str:
    """What it was, and what may be done."""
    said = error.message
    if isinstance(error, ProxyFailed):
        return f"{said}: look at proxies/{error.proxy}"
    if isinstance(error, CredentialUnavailable):
        return f"{said}: look at where its secret is kept"
    if isinstance(error, UpstreamRejected):
        if error.code == QUOTA_SPENT or error.status == 402:
            return f"the key is taken, and has nothing left to spend: {said}"
        if error.status in (401, 403):
            return f"the provider does not take this account's key: {said}"
        if error.status == 429:
            return f"the key is taken, and asked for too often just now: {said}"
        if error.status in (404, 405) and asked == "models":
            return f"there is no list of models at its base_url: {said}; look at base_url, or test one model"
        if error.status in (400, 404, 422) and model:
            return f"the provider does not serve the model {model} like this: {said}"
    if isinstance(error, UpstreamTimeout):
        return f"{said}: look at its base_url, and at what lies between"
    if isinstance(error, UpstreamUnreachable) and error.code == "upstream_unreachable":
        return f"{said}: look at its base_url, DNS and certificates (ca_file)"
    return said


def address_in(body: bytes) -> str:
    """The first address in what an echo said; "" where there is none."""
    for word in _WORD.findall(body[:4096].decode("latin-1")):
        try:
            return str(ip_address(word.strip(".")))
        except ValueError:
            continue
    return ""
