"""AWS Signature Version 4: the headers that prove a call, without sending the secret.

Facts: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (read 2026-11-28). Of a call's
headers those are signed that AWS asks for, ``host`` and its own; the rest a proxy between may change.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
from omni_wire.errors import CredentialUnavailable

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
# An access key's id is capitals and digits, so that no other kind of secret is taken for one.
_ACCESS_KEY: Final = re.compile(r"([A-Z0-9]{16,128}):([^:@\s]+)(?::([^:@\s]+))?(?:@([a-z0-9-]+))?")
# bedrock-runtime.eu-west-1.amazonaws.com, bedrock-runtime-fips.us-east-1.amazonaws.com, and the same behind a VPC's
# endpoint: vpce-0a1b.bedrock-runtime.us-east-1.vpce.amazonaws.com
_REGION: Final = re.compile(r"(?:^|\.)[a-z-]+\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")


class AccessKey(msgspec.Struct, frozen=True):
    """``token`` is that of a temporary key; ``region`` is given where the address does not name one."""

    id: str
    secret: str
    token: str = ""
    region: str = ""

    def __repr__(self) -> str:
        return f"AccessKey({self.id[:4]}…)"


def read_access_key(secret: str) -> AccessKey | None:
    """Of ``ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN][@REGION]``; None for any other kind of secret."""
    found = _ACCESS_KEY.fullmatch(secret)
    return AccessKey(*(part or "" for part in found.groups())) if found else None


def region_of(host: str) -> str:
    """The region in an AWS host's name; empty where it names none."""
    found = _REGION.search(host)
    return found[1] if found else ""


def sign(key: AccessKey, service: str, method: str, url: str, body: bytes, now: int) -> dict[str, str]:
    """The headers to send with a call; ``now`` in epoch seconds. Raises ``CredentialUnavailable`` where no region is
    known."""
    address = urlsplit(url)
    region = key.region or region_of(address.hostname or "")
    if not region:
        raise CredentialUnavailable("an AWS access key needs a region: name it after the secret, as @eu-west-1")
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {"host": address.netloc.rpartition("@")[2], "x-amz-date": stamp}
    if key.token:
        signed["x-amz-security-token"] = key.token
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    request = "\n".join(
        (
            method,
            # The path as it is sent is escaped once more, segment by segment.
            quote(address.path, safe="/-_.~") or "/",
            _query(address.query),
            *(f"{name}:{value.strip()}" for name, value in sorted(signed.items())),
            "",
            ";".join(sorted(signed)),
            hashlib.sha256(body).hexdigest(),
        )
    )
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    proof = f"AWS4{key.secret}".encode()
    for word in (*scope.split("/"), text):
        proof = hmac.digest(proof, word.encode(), "sha256")
    authorization = f"{_ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={';'.join(sorted(signed))}"
    headers = {name: value for name, value in signed.items() if name != "host"}
    return headers | {"authorization": f"{authorization}, Signature={proof.hex()}"}


def _query(query: str) -> str:
    pairs = [(quote(key, safe="-_.~"), quote(value, safe="-_.~")) for key, value in parse_qsl(query, True)]
    return "&".join(f"{key}={value}" for key, value in sorted(pairs))


def bearer_or_signed(service: str, secret: str, url: str, body: bytes, now: int) -> Mapping[str, str]:
    """What proves a POST: an access key signs it, any other secret is an API key and goes along."""
    key = read_access_key(secret)
    if key is None:
        return {"authorization": f"Bearer {secret}"}
    return sign(key, service, "POST", url, body, now)
