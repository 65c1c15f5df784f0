"""Where limits that came to a percentage are told, as the environment says it."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from omni_catalogue.notify import key_of
from omni_core.redaction import keep_secret
from omni_wire.errors import InvalidRequest

from omni_analytics.domain.notices import Webhook

WEBHOOK = "OMNIROUTE_ANALYTICS_WEBHOOK"


def webhook(env: Mapping[str, str]) -> Webhook | None:
    """Where limits that came to a percentage are told: ``OMNIROUTE_ANALYTICS_WEBHOOK_URL``, ``…_SECRET`` or
    ``…_SECRET_FILE``, ``…_PRIVATE``; None without a URL. Raises
    ``InvalidRequest``, without repeating a secret."""
    url = env.get(f"{WEBHOOK}_URL", "").strip()
    if not url:
        return None
    try:
        parts = urlsplit(url)
        good = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        )
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url or "#" in url:
        told = f"{WEBHOOK}_URL is an http:// or https:// URL with a host, without credentials"
        raise InvalidRequest(told, param=f"{WEBHOOK}_URL")
    file = env.get(f"{WEBHOOK}_SECRET_FILE", "").strip()
    secret = (_text(file) if file else env.get(f"{WEBHOOK}_SECRET", "")).strip()
    keep_secret(secret)
    private = env.get(f"{WEBHOOK}_PRIVATE", "").strip().lower() or "off"
    if private not in ("on", "off"):
        raise InvalidRequest(f"{WEBHOOK}_PRIVATE is on or off", param=f"{WEBHOOK}_PRIVATE")
    try:
        return Webhook(url, key_of(secret), private == "on")
    except InvalidRequest as error:
        raise InvalidRequest(f"{WEBHOOK}_SECRET: {error.message}", param=f"{WEBHOOK}_SECRET") from None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"cannot read {WEBHOOK}_SECRET_FILE {path}", param=f"{WEBHOOK}_SECRET_FILE") from error
