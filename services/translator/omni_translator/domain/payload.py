"""Media in a body: base64 that can be read, and the type that its bytes show.

What a client sent is checked once, where it is read, so that a broken picture is the client's 400, with its place, and
not the provider's. Blanks (MIME breaks lines), the URL-safe alphabet and a missing end are no mistakes: they are put
right, since some providers want them so.
"""

import base64
import binascii
from typing import Final

from omni_wire.errors import WireError

from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Document, Image

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_BLANKS: Final = b" \t\r\n"
# What the first bytes of a file show. RIFF holds other things than pictures too.
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_SPELT: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_HEAD: Final = 16  # characters of base64, twelve bytes


def payload(data: str, field: str) -> str:
    """``data`` in the standard alphabet, padded. Raises ``WireError`` naming ``field`` where it is no base64."""
    if not data.isascii():
        raise _broken(field)
    raw = data.encode()
    if raw.translate(None, _ALPHABET):  # more than the alphabet: perhaps only its end
        text = raw.translate(_STANDARD, _BLANKS).rstrip(b"=")
        if text.translate(None, _ALPHABET):
            raise _broken(field)
    else:
        text = raw
    if len(text) % 4 == 1:
        raise _broken(field)
    padded = text + b"=" * (-len(text) % 4)
    return data if padded == raw else padded.decode()


def _broken(field: str) -> WireError:
    return WireError(f"{field} is not valid base64", field)


def shown_type(data: str) -> str:
    """The MIME type that the first bytes of ``data`` (base64) show; empty where they show none that is known."""
    try:
        head = base64.b64decode(data[:_HEAD])
    except (binascii.Error, ValueError):
        return ""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for magic, mime in _MAGIC if head.startswith(magic)), "")


def picture(part: Image, taken: frozenset[str], losses: Losses) -> str:
    """The MIME type of a picture's ``data`` as one of those that a provider has ``taken``; empty, with the loss
    declared, where it is none of them. Providers look at the bytes and refuse a type that is not theirs."""
    shown = shown_type(part.data)
    mime = shown if shown.startswith("image/") else _SPELT.get(part.media_type, part.media_type)
    if mime not in taken:
        names = ", ".join(sorted(taken))
        losses.dropped("messages.content.image", f"it is {mime or 'of no type'}, and only these are taken: {names}")
        return ""
    if mime != part.media_type:
        losses.approximated("messages.content.image.media_type", f"its bytes are {mime}")
    return mime


def plain_text(part: Document) -> str:
    """The text that a document's ``data`` is; empty where it is none."""
    if not part.media_type.startswith("text/"):
        return ""
    try:
        return base64.b64decode(part.data).decode()
    except (binascii.Error, ValueError):
        return ""
