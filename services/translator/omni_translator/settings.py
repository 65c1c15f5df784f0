"""What of the translator may be tuned."""

import msgspec


class TranslatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``max_answer_bytes`` bounds an answer that is not streamed; ``max_loss_fields`` bounds the metric's field names
    (further ones count as "other"). A request of more than ``inline_bytes`` is converted in a thread, so that others do
    not wait for it."""

    max_answer_bytes: int = 64 * 1024 * 1024
    max_loss_fields: int = 100
    inline_bytes: int = 256 * 1024
