"""Where a provider deviates from its wire format: one named function a deviation."""

from omni_catalogue.snapshot import Model, Provider

_COMPLETION_TOKENS_ONLY = ("gpt-5", "gpt-6", "o1", "o3", "o4")


def chat_output_limit_field(provider: Provider, model: Model) -> str:
    """The Chat field that bounds the output.

    OpenAI's own API and its reasoning models take only ``max_completion_tokens``; most compatible servers know
    ``max_tokens``. (platform.openai.com/docs/api-reference/chat: max_tokens is deprecated.)
    """
    name = model.id.rpartition("/")[2]
    if "api.openai.com" in provider.base_url or name.startswith(_COMPLETION_TOKENS_ONLY):
        return "max_completion_tokens"
    return "max_tokens"
