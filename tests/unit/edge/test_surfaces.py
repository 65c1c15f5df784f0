import pytest
from omni_edge.domain.surfaces import EXACT, Role, match, owns
from omni_wire.formats import WireFormat


def test_chat_is_the_only_completing_surface_so_far() -> None:
    assert [path for path, surface in EXACT.items() if surface.role is Role.COMPLETE] == ["/v1/chat/completions"]
    assert match("/v1/chat/completions").format is WireFormat.OPENAI_CHAT


@pytest.mark.parametrize(
    ("path", "wire_format"),
    [
        ("/v1/responses", WireFormat.OPENAI_RESPONSES),
        ("/v1/messages", WireFormat.ANTHROPIC_MESSAGES),
        ("/v1/messages/count_tokens", WireFormat.ANTHROPIC_MESSAGES),
        ("/v1beta/models/gemini-x:generateContent", WireFormat.GEMINI_GENERATE),
        ("/v1beta/models/acme/gemini-x:streamGenerateContent", WireFormat.GEMINI_GENERATE),
        ("/v1/models/gemini-x:generateContent", WireFormat.GEMINI_GENERATE),
        ("/v1beta/models", WireFormat.GEMINI_GENERATE),
        ("/api/chat", None),
        ("/api/tags", None),
    ],
)
def test_surfaces_to_come_are_reserved_in_their_own_dialect(path: str, wire_format: WireFormat | None) -> None:
    surface = match(path)
    assert (surface.role, surface.format) == (Role.RESERVED, wire_format)


@pytest.mark.parametrize("model", ["gpt-x", "acme/gpt-x", "llama3:8b", "a/b/c"])
def test_a_model_id_may_hold_slashes_and_colons(model: str) -> None:
    assert match(f"/v1/models/{model}").name == "model"


@pytest.mark.parametrize("path", ["/", "/v2", "/v1/models/", "/v1/nothing", "/v1/chat/completions/", "/v1beta/x"])
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
