"""Deviations inside one wire format that go by the model's name, one function each."""


def output_limit_key(model: str) -> str:
    """Which key of a chat request limits the output.

    OpenAI's reasoning models (o-series, gpt-5 and later) refuse ``max_tokens``; other vendors' chat endpoints may
    ignore ``max_completion_tokens``, and an ignored limit costs money.
    """
    name = model.rsplit("/", 1)[-1]
    if name.startswith("gpt-"):
        major = name[4:].split("-", 1)[0].split(".", 1)[0]
        return "max_completion_tokens" if major.isdigit() and int(major) >= 5 else "max_tokens"
    return "max_completion_tokens" if name[:1] == "o" and name[1:2].isdigit() else "max_tokens"


def thinks_adaptively(model: str) -> bool:
    """Whether a Claude model takes ``thinking: {"type": "adaptive"}`` with an effort, rather than a token budget.

    True from version 4.6 on ("claude-opus-4-6", "claude-opus-5-5", "claude-sonnet-5"); a trailing date is no version.
    """
    name = model.rsplit("/", 1)[-1].replace(".", "-")
    numbers = [int(word) for word in name.split("-") if word.isdigit() and len(word) <= 2]
    return name.startswith("claude") and (*numbers, 0, 0)[:2] >= (4, 6)
