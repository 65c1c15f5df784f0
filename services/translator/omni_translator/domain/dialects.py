"""Deviations inside one wire format that go by the model's name, one function each; those that others need too are the
catalogue's."""

from omni_catalogue.dialects import gemini_version


def thinks_adaptively(model: str) -> bool:
    """Whether a Claude model takes ``thinking: {"type": "adaptive"}`` with an effort, rather than a token budget.

    True from version 4.6 on ("claude-opus-4-6", "claude-opus-5-5", "claude-sonnet-5"); a trailing date is no version.
    """
    name = model.rsplit("/", 1)[-1].replace(".", "-")
    numbers = [int(word) for word in name.split("-") if word.isdigit() and len(word) <= 2]
    return name.startswith("claude") and (*numbers, 0, 0)[:2] >= (4, 6)


# ---- Bedrock ----
# Facts: docs.aws.amazon.com/bedrock (model ids, prompt-caching, inference-profiles-support; read 2026-11-28).


def claude_of(model: str) -> str:
    """Anthropic's name of a Claude on Bedrock: "claude-opus-4-6-v1" of "us.anthropic.claude-opus-4-6-v1:0" or of the
    profile's or the model's ARN; empty for other models, and for profiles whose address does not name theirs."""
    name = model.rsplit("/", 1)[-1]
    at = name.find("anthropic.claude")
    return name[at + len("anthropic.") :].partition(":")[0] if at >= 0 else ""


def caches_prompts(model: str) -> bool:
    """Whether a model on Bedrock takes cache points: Claude from 3.5 on, and Nova."""
    claude = claude_of(model)
    if claude:
        return not claude.startswith(
            ("claude-v2", "claude-instant", "claude-3-sonnet", "claude-3-haiku", "claude-3-opus")
        )
    return "amazon.nova-" in model.rsplit("/", 1)[-1]


# ---- Gemini ----
# Facts: ai.google.dev/gemini-api/docs, pages thinking, thought-signatures, file-input-methods, function-calling and
# structured-output, and the Gemini pages of docs.cloud.google.com/vertex-ai (read 2026-11-22).


def takes_json_schema(model: str) -> bool:
    """Whether ``parametersJsonSchema`` and ``responseJsonSchema`` may be used.

    Both are documented for all models Google still serves, but not for those before 2.5; and what is behind other names
    (Claude in Google's Cloud Code, other vendors' doors to Gemini) may know the older ``Schema`` message only.
    """
    return gemini_version(model) >= (2, 5)


def takes_addresses(model: str) -> bool:
    """Whether ``fileData`` may hold any https address: from Gemini 2.5 on."""
    return gemini_version(model) >= (2, 5)


def takes_media_in_results(model: str) -> bool:
    """Whether a function's response may hold ``parts``: from Gemini 3 on."""
    return gemini_version(model) >= (3, 0)


def thinks_by_level(model: str) -> bool:
    """Whether a model takes ``thinkingLevel`` rather than ``thinkingBudget``: from Gemini 3 on."""
    return gemini_version(model) >= (3, 0)


def thinking_levels(model: str) -> tuple[str, ...]:
    """The levels there are, weakest first: a Pro has no "minimal", the first of the third generation no "medium"."""
    name = model.rsplit("/", 1)[-1]
    if "pro" not in name.split("-"):
        return "minimal", "low", "medium", "high"
    return ("low", "high") if gemini_version(model) == (3, 0) else ("low", "medium", "high")


def thinking_budgets(model: str) -> tuple[int, int]:
    """The smallest and the largest ``thinkingBudget`` of a Gemini 2.5; a Pro (from 128) cannot be switched off."""
    words = model.rsplit("/", 1)[-1].split("-")
    return (128, 32768) if "pro" in words else (512, 24576) if "lite" in words else (1, 24576)


# ---- Cohere ----
# Facts: docs.cohere.com/docs/models and /docs/reasoning (read 2026-11-28).

_COHERE_PLAIN = (
    *("command-r", "command-light", "command-nightly", "command-a-03-2025", "command-a-vision", "command-a-translate"),
    *("c4ai-aya", "aya-"),
)


def cohere_thinks(model: str) -> bool:
    """Whether a model of Cohere's takes ``thinking``: those that came before Command A Reasoning do not."""
    return not model.rsplit("/", 1)[-1].startswith(_COHERE_PLAIN)
