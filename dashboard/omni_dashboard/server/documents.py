"""The bodies that auth understands and we only carry: what OpenAPI says of them, and that they can be read at all.

``documents.json`` is written by ``tools/make_api_schemas.py`` from auth's own sections.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI
from omni_wire.errors import InvalidRequest
from pydantic.json_schema import models_json_schema

from omni_dashboard.server.schemas import Problem

MAX_DEPTH = 32  # a configuration file has at most 24
_TOO_DEEP = "the body is nested too deep"

_FILE = json.loads((Path(__file__).parent / "documents.json").read_text())
SCHEMAS: dict[str, Any] = _FILE["schemas"]
KINDS: dict[str, str] = _FILE["kinds"]


def body(kind: str) -> dict[str, Any]:
    return _takes({"application/json": _ref(KINDS[kind])})


def file_body() -> dict[str, Any]:
    whole = _ref("Config")
    return _takes({"application/json": whole, "application/yaml": {"schema": {"type": "string"}}})


def file_answer() -> dict[str, Any]:
    # Without a schema: those who read YAML would hold its content to that of the text.
    found: dict[str, Any] = {"description": "the file", "content": {"text/yaml": {}}}
    return {"responses": {"200": found}}


def _ref(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _takes(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


class Described(FastAPI):
    """An application whose OpenAPI has the documents' schemas as well, and that of the problems its routes refer to."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            _, found = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
            super().openapi()["components"]["schemas"].update(found["$defs"] | SCHEMAS)
        return super().openapi()


def checked(raw: bytes) -> bytes:
    """The same document, which is a JSON object for certain. Raises ``InvalidRequest``."""
    found = _decoded(raw)
    if not isinstance(found, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_json")
    return msgspec.json.encode(found)


def file_text(raw: bytes, media_type: str) -> str:
    """The text of a configuration file. Raises ``InvalidRequest``."""
    if media_type == "application/json":  # not all of JSON is YAML: tabs, escapes of halves of a character
        return msgspec.json.encode(_decoded(raw)).decode()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8") from None


def _decoded(raw: bytes) -> Any:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest(_TOO_DEEP, code="invalid_json") from None
    level = [found]
    for _ in range(MAX_DEPTH):
        level = [item for value in level for item in _items(value)]
    if level:
        raise InvalidRequest(_TOO_DEEP, code="invalid_json")
    return found


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
