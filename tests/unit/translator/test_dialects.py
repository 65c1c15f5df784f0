"""What goes by the model's name."""

import pytest
from omni_translator.domain.dialects import thinks_adaptively


@pytest.mark.parametrize(
    ("model", "adaptive"),
    [
        ("claude-3-7-sonnet-20250219", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-opus-4-5", False),
        ("claude-opus-4-6", True),
        ("claude-opus-4.6", True),
        ("anthropic/claude-opus-5-5", True),
        ("claude-sonnet-5", True),
        ("claude-x", False),
        ("kimi-k2-5", False),
    ],
)
def test_claude_thinks_adaptively_from_4_6_on(model: str, adaptive: bool) -> None:
    assert thinks_adaptively(model) is adaptive
