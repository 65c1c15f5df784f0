"""Deviations inside one wire format that go by the model's name, one function each."""


def thinks_adaptively(model: str) -> bool:
    """Whether a Claude model takes ``thinking: {"type": "adaptive"}`` with an effort, rather than a token budget.

    True from version 4.6 on ("claude-opus-4-6", "claude-opus-5-5", "claude-sonnet-5"); a trailing date is no version.
    """
    name = model.rsplit("/", 1)[-1].replace(".", "-")
    numbers = [int(word) for word in name.split("-") if word.isdigit() and len(word) <= 2]
    return name.startswith("claude") and (*numbers, 0, 0)[:2] >= (4, 6)
