"""Pictures, sound and documents: a MIME type and either bytes (``inlineData``) or an address (``fileData``).

Facts (ai.google.dev/gemini-api/docs/file-input-methods, read 2026-11-22): ``fileUri`` takes files of the Files API,
``gs://`` objects, YouTube addresses and, from Gemini 2.5 on, any public or signed https address.
"""

import base64
import binascii
from typing import Final
from urllib.parse import urlsplit

from omni_translator.domain.codecs.gemini_generate.spelling import ProtoFields
from omni_translator.domain.dialects import takes_addresses
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Audio, Document, Image, Json, Part
from omni_translator.domain.payload import payload, picture

_AUDIO: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}
_BY_ENDING: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "csv": "text/csv",
    "mp4": "video/mp4",
}
_GUESS: Final = {"image": "image/jpeg", "document": "application/pdf"}
# ai.google.dev/gemini-api/docs/image-understanding.
_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
_PRIVATE: Final = ("gs://", "https://generativelanguage.googleapis.com/", "files/")
_TUBE: Final = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")


def kind_of(mime: str) -> str:
    """ "image", "audio", "text", "document", or "" for what the canonical model has no part for."""
    family = mime.partition("/")[0].lower()
    if family in ("image", "audio"):
        return family
    if mime == "text/plain":
        return "text"
    return "document" if family in ("application", "text") else ""


def ending_type(url: str) -> str:
    """The MIME type that the address itself tells; empty when it tells none."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return _BY_ENDING.get(path.rpartition(".")[2].lower(), "")


def read_blob(part: ProtoFields) -> Part | None:
    """``inlineData``; None leaves the part opaque, untouched."""
    held = part.peek("inlineData")
    if not isinstance(held, dict):
        return None
    mime, data = held.get("mimeType", held.get("mime_type")), held.get("data")
    if not isinstance(mime, str) or not isinstance(data, str) or not data or not kind_of(mime):
        return None
    kind = kind_of(mime)
    blob = part.need_child("inlineData")
    blob.take("mimeType")
    blob.take("data")
    data = payload(data, blob.at("data"))
    if kind == "image":
        return Image(data=data, media_type=mime, extra=part.rest())
    if kind == "audio":
        return Audio(data=data, format=_AUDIO.get(mime, mime.partition("/")[2]), extra=part.rest())
    title = blob.text("displayName") or ""
    text = _as_text(data) if kind == "text" else ""
    if text:
        return Document(text=text, title=title, extra=part.rest())
    return Document(data=data, media_type=mime, title=title, extra=part.rest())


def _as_text(data: str) -> str:
    """The text that base64 holds; empty when it is none, or would not come back the same."""
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text if _from_text(text) == data else ""


def _from_text(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def read_address(part: ProtoFields) -> Part | None:
    """``fileData``; None leaves the part opaque, untouched. A file only Google can open becomes a file id."""
    held = part.peek("fileData")
    if not isinstance(held, dict):
        return None
    uri, given = held.get("fileUri", held.get("file_uri")), held.get("mimeType", held.get("mime_type"))
    if not isinstance(uri, str) or not uri or not (given is None or isinstance(given, str)):
        return None
    told = ending_type(uri)
    mime = given or told
    kind = kind_of(mime)
    if kind not in ("image", "text", "document") or uri.startswith(_TUBE):
        return None
    file = part.need_child("fileData")
    file.take("fileUri")
    file.take("mimeType")
    url, file_id = ("", uri) if uri.startswith(_PRIVATE) else (uri, "")
    said = "" if mime == told else mime
    if kind == "image":
        return Image(url=url, file_id=file_id, media_type=said, extra=part.rest())
    title = file.text("displayName") or ""
    return Document(url=url, file_id=file_id, media_type=said, title=title, extra=part.rest())


# ---- writing --------------------------------------------------------------------------------------------------------


def write_media(part: Image | Audio | Document, model: str, home: bool, losses: Losses) -> Json | None:
    """One of ``inlineData`` and ``fileData``; None, with the loss declared, where Gemini has no way."""
    if isinstance(part, Audio):
        mime = f"audio/{part.format}"
        if not home and _AUDIO.get(mime, part.format) != part.format:
            losses.approximated("messages.content.input_audio.format", f"the same as {_AUDIO[mime]}")
        return {"inlineData": {"mimeType": mime, "data": part.data}}
    name = "image" if isinstance(part, Image) else "document"
    title = part.title if isinstance(part, Document) else ""
    if title and not home:
        losses.dropped("messages.content.document.title", "Gemini takes no names of files")
    if isinstance(part, Image) and part.detail:
        losses.dropped("messages.content.image_url.detail")
    named = {"displayName": title} if title and home else {}
    if isinstance(part, Image) and part.data and not home:
        mime = picture(part, _PICTURES, losses)
        return {"inlineData": {"mimeType": mime, "data": part.data}} if mime else None
    if part.data or (isinstance(part, Document) and part.text):
        return {"inlineData": _blob(part, name, home, losses) | named}
    if part.file_id and not home:
        losses.dropped(f"messages.content.{name}", "a file id means nothing to another provider")
        return None
    uri = part.file_id or part.url
    told = ending_type(uri)
    if not home and not (part.url.startswith("https://") and takes_addresses(model)):
        losses.dropped(f"messages.content.{name}.url", "this model takes no addresses, or only those of https")
        return None
    mime = part.media_type or told
    if not home and not _suits(mime, name):
        mime = _GUESS[name]
        losses.approximated(f"messages.content.{name}.url", f"the address tells no type; said to be {mime}")
    return {"fileData": ({"mimeType": mime} if mime else {}) | {"fileUri": uri} | named}


def _blob(part: Image | Document, name: str, home: bool, losses: Losses) -> Json:
    if isinstance(part, Document) and part.text:
        return {"mimeType": "text/plain", "data": _from_text(part.text)}
    mime = part.media_type
    if not home and not _suits(mime, name):
        mime = mime or _GUESS[name]
        losses.approximated(f"messages.content.{name}", f"Gemini goes by the type alone, which is said to be {mime}")
    return {"mimeType": mime, "data": part.data}


def _suits(mime: str, name: str) -> bool:
    """Whether a reader of Gemini takes this type for the same kind of part."""
    return kind_of(mime) in (("image",) if name == "image" else ("document", "text"))
