"""Base64 that can be read goes on, whatever its spelling; what cannot is refused with its place."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Document, Image
from omni_translator.domain.payload import payload, picture, plain_text, shown_type
from omni_wire.errors import WireError

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 8).decode()


@given(st.binary(min_size=1), st.integers(1, 9))
def test_every_spelling_of_the_same_bytes_is_the_standard_one(data: bytes, width: int) -> None:
    standard = base64.b64encode(data).decode()
    assert payload(standard, "x") == standard
    assert payload(base64.urlsafe_b64encode(data).decode().rstrip("="), "x") == standard
    lines = "\r\n".join(standard[at : at + width] for at in range(0, len(standard), width))
    assert payload(lines, "x") == standard


@given(st.text())
def test_anything_else_is_refused_and_what_passes_can_be_read(text: str) -> None:
    try:
        data = payload(text, "messages[0].content")
    except WireError:
        return
    base64.b64decode(data, validate=True)


@pytest.mark.parametrize("broken", ["a", "abcde", "ab*c", "aGk=aGk=", "größe", "data:x"])
def test_broken_base64(broken: str) -> None:
    with pytest.raises(WireError, match=r"messages\[0\]") as caught:
        payload(broken, "messages[0].content")
    assert caught.value.field == "messages[0].content"


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", ""),
        (b"%PDF-1.7", "application/pdf"),
        (b"hello", ""),
    ],
)
def test_the_first_bytes_show_the_type(head: bytes, mime: str) -> None:
    assert shown_type(base64.b64encode(head + b"\x00" * 40).decode()) == mime
    assert shown_type(base64.b64encode(head).decode()) == mime


@pytest.mark.parametrize(
    ("data", "said", "sent", "lost"),
    [
        (PNG, "image/png", "image/png", []),
        (PNG, "image/jpeg", "image/png", ["approximated"]),
        (PNG, "", "image/png", ["approximated"]),
        ("aGk=", "image/jpg", "image/jpeg", ["approximated"]),
        ("aGk=", "image/bmp", "", ["dropped"]),
        ("aGk=", "", "", ["dropped"]),
    ],
)
def test_a_picture_goes_as_what_it_is_or_not_at_all(data: str, said: str, sent: str, lost: list[str]) -> None:
    losses = Losses("X")
    taken = frozenset({"image/png", "image/jpeg"})
    assert picture(Image(data=data, media_type=said), taken, losses) == sent
    assert [loss.kind for loss in losses.all()] == lost


def test_only_a_document_of_text_is_text() -> None:
    text = base64.b64encode("Grüße".encode()).decode()
    assert plain_text(Document(data=text, media_type="text/csv")) == "Grüße"
    assert plain_text(Document(data=text, media_type="application/pdf")) == ""
    assert plain_text(Document(data="/w==", media_type="text/plain")) == ""
