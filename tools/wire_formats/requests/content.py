"""Messages and media."""

from typing import Final

from tools.wire_formats.probe import BYTES, CHAT, COHERE, GEMINI, MESSAGES, OLLAMA, PICTURE, PLAIN, RESPONSES, Row
from tools.wire_formats.requests.wraps import (
    DATA,
    INPUT_TEXT,
    PDF,
    PDF_DATA,
    TEXT,
    TURN,
    URL,
    USER,
    chat_round,
    contents,
    item_of,
    items,
    message_of,
    talk,
    turn_of,
)

_PAGE: Final = {"url": "https://example.com/", "title": "E"}
_PLACE: Final = _PAGE | {"start_index": 0, "end_index": 6}
_FOUND: Final = _PAGE | {"type": "web_search_result_location", "cited_text": "", "encrypted_index": ""}

_TALK: Final = (
    Row(
        "Messages",
        "text",
        {
            OLLAMA: talk({"role": "user", "content": "Good day"}),
            COHERE: talk({"role": "user", "content": "Good day"}),
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
            OLLAMA: talk({"role": "user", "content": "a"}, {"role": "user", "content": "b"}),
            COHERE: message_of(TEXT, {"type": "text", "text": "b"}),
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
            OLLAMA: talk({"role": "system", "content": "Be brief."}, USER),
            COHERE: talk({"role": "system", "content": "Be brief."}, USER),
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
            OLLAMA: talk(USER, {"role": "assistant", "content": "Yes?"}, {"role": "system", "content": "Be brief."}),
            COHERE: talk(USER, {"role": "assistant", "content": "Yes?"}, {"role": "system", "content": "Be brief."}),
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
            OLLAMA: talk(USER, {"role": "assistant", "content": "Yes?"}, USER),
            COHERE: talk(USER, {"role": "assistant", "content": "Yes?"}, USER),
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
        "addresses that an earlier text cites",
        {
            CHAT: talk(
                USER,
                {
                    "role": "assistant",
                    "content": "It is.",
                    "annotations": [{"type": "url_citation", "url_citation": _PLACE}],
                },
                USER,
            ),
            RESPONSES: items(
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "output_text", "text": "It is.", "annotations": [{"type": "url_citation"} | _PLACE]}
                    ],
                },
                USER,
            ),
            MESSAGES: talk(
                USER,
                {"role": "assistant", "content": [{"type": "text", "text": "It is.", "citations": [_FOUND]}]},
                USER,
            ),
        },
    ),
    Row(
        "Messages",
        "citations of an earlier text",
        {
            COHERE: talk(
                USER,
                {"role": "assistant", "content": "It is.", "citations": [{"start": 0, "end": 2, "text": "It"}]},
                USER,
            ),
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
            COHERE: message_of(TEXT, {"type": "image_url", "image_url": {"url": URL}}),
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
            OLLAMA: talk({"role": "user", "content": "", "images": [PICTURE]}),
            COHERE: message_of({"type": "image_url", "image_url": {"url": DATA}}),
            CHAT: message_of({"type": "image_url", "image_url": {"url": DATA}}),
            RESPONSES: item_of({"type": "input_image", "image_url": DATA}),
            MESSAGES: message_of(
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}
            ),
            GEMINI: turn_of({"inlineData": {"mimeType": "image/png", "data": PICTURE}}),
        },
    ),
    Row(
        "Media",
        "image of a type few take",
        {
            CHAT: message_of(TEXT, {"type": "image_url", "image_url": {"url": f"data:image/bmp;base64,{BYTES}"}}),
            RESPONSES: item_of(INPUT_TEXT, {"type": "input_image", "image_url": f"data:image/bmp;base64,{BYTES}"}),
            MESSAGES: message_of(
                TEXT, {"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": BYTES}}
            ),
            GEMINI: turn_of({"text": "a"}, {"inlineData": {"mimeType": "image/bmp", "data": BYTES}}),
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
            COHERE: message_of(TEXT, {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}),
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

_DOCUMENTS: Final = (
    Row("Media", "documents beside the messages", {COHERE: {"documents": [{"id": "1", "data": {"snippet": "rain"}}]}}),
    Row(
        "Media",
        "document in a result",
        {COHERE: chat_round([{"type": "document", "document": {"id": "1", "data": {"sky": "grey"}}}])},
    ),
)

ROWS: Final = (*_TALK, *_MEDIA, *_DOCUMENTS)
