import pytest
from omni_edge.domain.surfaces import SURFACES, Role, endpoints, match, model_in, owns
from omni_wire.formats import WireFormat


@pytest.mark.parametrize(
    ("path", "wire_format"),
    [
        ("/v1/chat/completions", WireFormat.OPENAI_CHAT),
        ("/v1/responses", WireFormat.OPENAI_RESPONSES),
        ("/v1/messages", WireFormat.ANTHROPIC_MESSAGES),
        ("/v1beta/models/gemini-x:generateContent", WireFormat.GEMINI_GENERATE),
        ("/v1beta/models/acme/gemini-x:streamGenerateContent", WireFormat.GEMINI_GENERATE),
        ("/v1/models/gemini-x:generateContent", WireFormat.GEMINI_GENERATE),
    ],
)
def test_completing_surfaces_have_their_dialect(path: str, wire_format: WireFormat) -> None:
    surface = match(path)
    assert (surface.role, surface.format) == (Role.COMPLETE, wire_format)


@pytest.mark.parametrize(
    ("path", "wire_format"),
    [
        ("/v1/responses/input_tokens", WireFormat.OPENAI_RESPONSES),
        ("/v1/messages/count_tokens", WireFormat.ANTHROPIC_MESSAGES),
        ("/v1beta/models/g:countTokens", WireFormat.GEMINI_GENERATE),
        ("/v1/models/acme/g:countTokens", WireFormat.GEMINI_GENERATE),
    ],
)
def test_counting_surfaces_have_their_dialect(path: str, wire_format: WireFormat) -> None:
    surface = match(path)
    assert (surface.role, surface.format) == (Role.COUNT, wire_format)


@pytest.mark.parametrize(
    ("path", "wire_format"),
    [
        ("/v1beta/models", WireFormat.GEMINI_GENERATE),
        ("/v1beta/models/a/g", WireFormat.GEMINI_GENERATE),
        ("/api/tags", WireFormat.OLLAMA_CHAT),
    ],
)
def test_lists_are_pages_in_their_dialect(path: str, wire_format: WireFormat) -> None:
    surface = match(path)
    assert (surface.role, surface.format, surface.by_header) == (Role.PAGE, wire_format, False)


def test_ollamas_paths_are_answered_in_its_dialect() -> None:
    assert (match("/api/chat").role, match("/api/chat").format) == (Role.COMPLETE, WireFormat.OLLAMA_CHAT)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent", "countTokens"])
@pytest.mark.parametrize("model", ["g", "acme/g", "llama3:8b", "a/b:generateContent", "models/g", "é"])
def test_the_model_is_what_stands_between(version: str, verb: str, model: str) -> None:
    path = f"/{version}/models/{model}:{verb}"
    assert model_in(match(path), path) == model


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("model", ["acme/g", "acme/models/g", "g", "tunedModels/g"])
def test_the_ai_sdk_leaves_models_out_of_the_path_for_a_name_with_a_slash(version: str, model: str) -> None:
    path = f"/{version}/{model}:streamGenerateContent"
    assert match(path).name == "stream_generate"
    assert model_in(match(path), path) == model


def test_where_the_body_names_the_model_the_path_does_not() -> None:
    assert model_in(match("/v1/messages"), "/v1/messages") == ""


def test_only_one_verb_streams() -> None:
    assert [surface.verb for surface in SURFACES if surface.stream] == [":streamGenerateContent"]


def test_what_several_dialects_share_is_told_by_header() -> None:
    shared = ["/v1/models", "/v1/models/m", "/v1/nothing"]
    assert all(match(path).by_header for path in shared)
    assert not match("/v1/chat/completions").by_header


@pytest.mark.parametrize("model", ["gpt-x", "acme/gpt-x", "llama3:8b", "a/b/c"])
def test_a_model_id_may_hold_slashes_and_colons(model: str) -> None:
    assert match(f"/v1/models/{model}").name == "model"


@pytest.mark.parametrize(
    "path", ["/", "/v2", "/v1/models/", "/v1/nothing", "/v1/chat/completions/", "/v1beta/x", "/v1beta/:generateContent"]
)
def test_unknown_paths_are_unknown(path: str) -> None:
    assert match(path).role is Role.UNKNOWN


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/x",
        "/v1beta/models",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/chat",
        "/api/tags",
        "/openapi.json",
    ],
)
def test_the_edge_owns_its_part_of_a_shared_listener(path: str) -> None:
    assert owns(path)


@pytest.mark.parametrize("path", ["/", "/api/usage", "/api/keys", "/app.js", "/v10", "/dashboard"])
def test_the_rest_is_the_dashboards(path: str) -> None:
    assert not owns(path)


def test_what_is_here_is_told() -> None:
    told = endpoints()
    assert "POST /v1beta/models/{model}:streamGenerateContent" in told
    assert "GET /v1/models/{model}" in told
    assert "POST /v1/messages" in told
    assert "POST /api/chat" in told
