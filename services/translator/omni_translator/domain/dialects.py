"""Deviations inside one wire format that go by the model's name, one function each."""


def thinks_adaptively(model: str) -> bool:
    """Whether a Claude model takes ``thinking: {"type": "adaptive"}`` with an effort, rather than a token budget.

    True from version 4.6 on ("claude-opus-4-6", "claude-opus-5-5", "claude-sonnet-5"); a trailing date is no version.
    """
    name = model.rsplit("/", 1)[-1].replace(".", "-")
    numbers = [int(word) for word in name.split("-") if word.isdigit() and len(word) <= 2]
    return name.startswith("claude") and (*numbers, 0, 0)[:2] >= (4, 6)


# ---- Gemini ----
# Facts: ai.google.dev/gemini-api/docs, pages thinking, thought-signatures, file-input-methods, function-calling and
# structured-output, and the Gemini pages of docs.cloud.google.com/vertex-ai (read 2026-11-22).


def gemini_version(model: str) -> tuple[int, int]:
    """(2, 5) of "models/gemini-2.5-flash"; (99, 0) of "gemini-flash-latest", (0, 0) of a model that is not Gemini's or
    bears no version."""
    name = model.rsplit("/", 1)[-1]
    if not name.startswith("gemini-"):
        return 0, 0
    major, _, minor = name[7:].partition("-")[0].partition(".")
    if major.isdecimal() and len(major) <= 2:
        return int(major), int(minor) if minor.isdecimal() and len(minor) <= 2 else 0
    return (99, 0) if name.endswith("-latest") else (0, 0)


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


def wants_thought_signatures(model: str) -> bool:
    """Whether a model answers 400 to a function call in its history that has no ``thoughtSignature``: from Gemini 3."""
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
