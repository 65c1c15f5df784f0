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
