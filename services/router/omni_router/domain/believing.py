"""Which of the counts that a provider gives are taken for what was used. Pure.

What is no count is none, and an estimate stands for it. A count that no model can come to is not believed. More input
than the model's window holds is charged as it was told: that is what the bill will say.
"""

import msgspec
from omni_wire.usage import ABSURD, BEYOND_CONTEXT, MOST_TOKENS, UNREADABLE, Usage


def believed(usage: Usage, *, context: int, input_estimate: int) -> Usage:
    """``usage``, estimated and marked where it is not to be believed. ``context`` is the model's window, 0 for any;
    ``input_estimate`` is in tokens."""
    if max(usage.input_tokens, usage.output_tokens) > MOST_TOKENS:
        given = usage.input_tokens if usage.input_tokens <= MOST_TOKENS else input_estimate
        said = usage.output_tokens if usage.output_tokens <= MOST_TOKENS else 0
        return Usage(given, output_tokens=said, estimated=True, suspect=ABSURD)
    if usage.suspect == UNREADABLE:
        given = usage.input_tokens or input_estimate
        return msgspec.structs.replace(usage, input_tokens=given, estimated=True)
    if 0 < context < usage.input_tokens:
        return msgspec.structs.replace(usage, suspect=usage.suspect or BEYOND_CONTEXT)
    return usage
