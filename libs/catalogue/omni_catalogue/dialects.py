"""Where a provider deviates from its wire format: one named function a deviation."""


def chat_output_limit_field(model: str, base_url: str = "") -> str:
    """The Chat field that bounds the output.

    OpenAI's own API prefers ``max_completion_tokens``, and its reasoning models (o-series, gpt-5 and later) refuse the
    deprecated ``max_tokens`` (platform.openai.com/docs/api-reference/chat). Other vendors' chat endpoints may ignore
    ``max_completion_tokens``, and an ignored limit costs money.
    """
    name = model.rpartition("/")[2]
    if name.startswith("gpt-"):
        major = name[4:].partition("-")[0].partition(".")[0]
        reasons = major.isdigit() and int(major) >= 5
    else:
        reasons = name[:1] == "o" and name[1:2].isdigit()
    return "max_completion_tokens" if reasons or "//api.openai.com" in base_url else "max_tokens"


# ---- Gemini ----

# Google's own word for "this call was not made by a Gemini", in the place of a signature
# (ai.google.dev/gemini-api/docs/thought-signatures). gemini-cli writes it too. It signs nothing, so it is none.
UNSIGNED_CALL = "skip_thought_signature_validator"


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


def wants_thought_signatures(model: str) -> bool:
    """Whether a model answers 400 to a function call in its history that has no ``thoughtSignature``: from Gemini 3."""
    return gemini_version(model) >= (3, 0)
