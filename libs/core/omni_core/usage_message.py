"""Token counts as they cross between services."""

from omni_wire.usage import Apart, Usage
from omniroute_proto.common.v1 import common_pb2

_APART = Apart.__struct_fields__


def written(usage: Usage) -> common_pb2.Usage:
    message = common_pb2.Usage(
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        estimated=usage.estimated,
        suspect=usage.suspect,
    )
    if usage.apart is not None:
        for name in _APART:
            setattr(message.apart, name, getattr(usage.apart, name))
    return message


def read(message: common_pb2.Usage) -> Usage:
    return Usage(
        message.input_tokens,
        message.cached_input_tokens,
        message.cache_write_tokens,
        message.output_tokens,
        message.reasoning_tokens,
        message.estimated,
        apart(message),
        message.suspect,
    )


def apart(message: common_pb2.Usage) -> Apart | None:
    """What was counted apart; None where nothing was."""
    if not message.HasField("apart"):
        return None
    return Apart(**{name: getattr(message.apart, name) for name in _APART})
