"""Messages and media."""

from typing import Final

from tools.wire_formats.probe import BYTES, CHAT, GEMINI, MESSAGES, PLAIN, RESPONSES, Row
from tools.wire_formats.requests.wraps import (
    DATA,
    INPUT_TEXT,
    PDF,
    PDF_DATA,
    TEXT,
    TURN,
    URL,
    USER,
    contents,
    item_of,
    items,
    message_of,
    talk,
    turn_of,
)

_TALK: Final = (
    Row(
        "Messages",
        "text",
        {
            CHAT: talk({"role": "user", "content": "Good day"}),
            RESPONSES: {"input": "Good day"},
            MESSAGES: talk({"role": "user", "content": "Good day"}),
            GEMINI: turn_of({"text": "Good day"}),
        },
    ),
    Row(
        "Messages",
        "a text of several parts",
        {
            CHAT: message_of(TEXT, {"type": "text", "text": "b"}),
            RESPONSES: item_of(INPUT_TEXT, {"type": "input_text", "text": "b"}),
            MESSAGES: message_of(TEXT, {"type": "text", "text": "b"}),
            GEMINI: turn_of({"text": "a"}, {"text": "b"}),
        },
    ),
    Row(
        "Messages",
        "system instruction",
        {
            CHAT: talk({"role": "system", "content": "Be brief."}, USER),
            RESPONSES: {"instructions": "Be brief."},
            MESSAGES: {"system": "Be brief."},
            GEMINI: {"systemInstruction": {"parts": [{"text": "Be brief."}]}},
        },
    ),
    Row(
        "Messages",
        "developer message",
        {
            CHAT: talk({"role": "developer", "content": "Be brief."}, USER),
            RESPONSES: items({"role": "developer", "content": "Be brief."}, USER),
        },
    ),
    Row(
        "Messages",
        "system message later on",
        {
            CHAT: talk(USER, {"role": "assistant", "content": "Yes?"}, {"role": "system", "content": "Be brief."}),
            RESPONSES: items(
                USER, {"role": "assistant", "content": "Yes?"}, {"role": "developer", "content": "Be brief."}
            ),
            MESSAGES: talk(USER, {"role": "assistant", "content": "Yes?"}, {"role": "system", "content": "Be brief."}),
        },
    ),
    Row(
        "Messages",
        "the model's earlier text",
        {
            CHAT: talk(USER, {"role": "assistant", "content": "Yes?"}, USER),
            RESPONSES: items(USER, {"role": "assistant", "content": "Yes?"}, USER),
            MESSAGES: talk(USER, {"role": "assistant", "content": "Yes?"}, USER),
            GEMINI: contents(TURN, {"role": "model", "parts": [{"text": "Yes?"}]}, TURN),
        },
    ),
    Row(
        "Messages",
        "the model's earlier refusal",
        {
            CHAT: talk(USER, {"role": "assistant", "content": None, "refusal": "No."}, USER),
            RESPONSES: items(USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, USER),
        },
    ),
    Row(
        "Messages",
        "citations of an earlier text",
        {
            CHAT: talk(
                USER, {"role": "assistant", "content": "It is.", "annotations": [{"type": "url_citation"}]}, USER
            ),
            RESPONSES: items(
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "It is.", "annotations": [{"type": "url_citation"}]}],
                },
                USER,
            ),
            MESSAGES: talk(
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "It is.", "citations": [{"type": "char_location"}]}],
                },
                USER,
            ),
        },
    ),
    Row("Messages", "a speaker's name", {CHAT: talk({"role": "user", "content": PLAIN, "name": "Ada"})}),
)

_MEDIA: Final = (
    Row(
        "Media",
        "image by address",
        {
            CHAT: message_of(TEXT, {"type": "image_url", "image_url": {"url": URL}}),
            RESPONSES: item_of(INPUT_TEXT, {"type": "input_image", "image_url": URL}),
            MESSAGES: message_of(TEXT, {"type": "image", "source": {"type": "url", "url": URL}}),
            GEMINI: turn_of({"text": "a"}, {"fileData": {"mimeType": "image/png", "fileUri": URL}}),
        },
    ),
    Row(
        "Media",
        "image as data",
        {
            CHAT: message_of({"type": "image_url", "image_url": {"url": DATA}}),
            RESPONSES: item_of({"type": "input_image", "image_url": DATA}),
            MESSAGES: message_of(
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BYTES}}
            ),
            GEMINI: turn_of({"inlineData": {"mimeType": "image/png", "data": BYTES}}),
        },
    ),
    Row(
        "Media",
        "image by file id",
        {
            RESPONSES: item_of(INPUT_TEXT, {"type": "input_image", "file_id": "file-1"}),
            MESSAGES: message_of(TEXT, {"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
            GEMINI: turn_of({"text": "a"}, {"fileData": {"mimeType": "image/png", "fileUri": "files/1"}}),
        },
    ),
    Row(
        "Media",
        "image detail",
        {
            CHAT: message_of(TEXT, {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}),
            RESPONSES: item_of(INPUT_TEXT, {"type": "input_image", "image_url": URL, "detail": "low"}),
        },
    ),
    Row(
        "Media",
        "audio",
        {
            CHAT: message_of(TEXT, {"type": "input_audio", "input_audio": {"data": BYTES, "format": "wav"}}),
            RESPONSES: item_of(
                INPUT_TEXT,
                {"type": "input_audio", "input_audio": {"data": BYTES, "format": "wav"}},
            ),
            GEMINI: turn_of({"text": "a"}, {"inlineData": {"mimeType": "audio/wav", "data": BYTES}}),
        },
    ),
    Row(
        "Media",
        "audio other than wav and mp3",
        {GEMINI: turn_of({"text": "a"}, {"inlineData": {"mimeType": "audio/ogg", "data": BYTES}})},
    ),
    Row(
        "Media",
        "video",
        {GEMINI: turn_of({"text": "a"}, {"inlineData": {"mimeType": "video/mp4", "data": BYTES}})},
    ),
    Row(
        "Media",
        "document as data",
        {
            CHAT: message_of({"type": "file", "file": {"filename": "document.pdf", "file_data": PDF_DATA}}),
            RESPONSES: item_of({"type": "input_file", "filename": "document.pdf", "file_data": PDF_DATA}),
            MESSAGES: message_of(
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": BYTES}}
            ),
            GEMINI: turn_of({"inlineData": {"mimeType": "application/pdf", "data": BYTES}}),
        },
    ),
    Row(
        "Media",
        "document as text",
        {
            MESSAGES: message_of(
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}}
            ),
            GEMINI: turn_of({"inlineData": {"mimeType": "text/plain", "data": BYTES}}),
        },
    ),
    Row(
        "Media",
        "document by address",
        {
            RESPONSES: item_of(INPUT_TEXT, {"type": "input_file", "file_url": PDF}),
            MESSAGES: message_of(TEXT, {"type": "document", "source": {"type": "url", "url": PDF}}),
            GEMINI: turn_of({"text": "a"}, {"fileData": {"mimeType": "application/pdf", "fileUri": PDF}}),
        },
    ),
    Row(
        "Media",
        "document by file id",
        {
            CHAT: message_of(TEXT, {"type": "file", "file": {"file_id": "file-1"}}),
            RESPONSES: item_of(INPUT_TEXT, {"type": "input_file", "file_id": "file-1"}),
            MESSAGES: message_of(TEXT, {"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
            GEMINI: turn_of({"text": "a"}, {"fileData": {"mimeType": "application/pdf", "fileUri": "files/1"}}),
        },
    ),
    Row(
        "Media",
        "a document's name",
        {
            CHAT: message_of({"type": "file", "file": {"filename": "plan.pdf", "file_data": PDF_DATA}}),
            RESPONSES: item_of({"type": "input_file", "filename": "plan.pdf", "file_data": PDF_DATA}),
            MESSAGES: message_of(
                {
                    "type": "document",
                    "title": "plan.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": BYTES},
                }
            ),
            GEMINI: turn_of({"inlineData": {"mimeType": "application/pdf", "data": BYTES, "displayName": "plan.pdf"}}),
        },
    ),
    Row(
        "Media",
        "that a document be cited",
        {
            MESSAGES: message_of(
                TEXT, {"type": "document", "citations": {"enabled": True}, "source": {"type": "url", "url": PDF}}
            )
        },
    ),
)

ROWS: Final = (*_TALK, *_MEDIA)
