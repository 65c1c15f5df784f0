"""The field that bounds a Chat answer, by model and provider."""

import pytest
from omni_catalogue.dialects import chat_output_limit_field


@pytest.mark.parametrize("model", ["gpt-5", "gpt-5.1-codex", "openai/gpt-6-mini", "o1", "o4-mini"])
def test_reasoning_models_take_completion_tokens_only(model: str) -> None:
    assert chat_output_limit_field(model) == "max_completion_tokens"


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-oss-120b", "llama-3.3-70b", "olmo", "claude-x", ""])
def test_others_know_max_tokens(model: str) -> None:
    assert chat_output_limit_field(model) == "max_tokens"


def test_openai_itself_prefers_completion_tokens() -> None:
    assert chat_output_limit_field("gpt-4o", "https://api.openai.com/v1") == "max_completion_tokens"
    assert chat_output_limit_field("gpt-4o", "https://example.com/api.openai.com") == "max_tokens"
