"""What of the translator may be tuned."""

import msgspec


class TranslatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``max_answer_bytes`` bounds an answer that is not streamed; ``max_loss_fields`` bounds the metric's field names
    (further ones count as "other"). A request of more than ``inline_bytes`` is converted in a thread, so that others do
    not wait for it.

    ``vault_…``: how long an entry of the reasoning vault is kept and how long one call of its store may take (seconds);
    what one entry may hold, and what all of one principal may (bytes, packed), the oldest giving way; and how full, of
    its ``maxmemory``, the store may be for another entry to be added: it holds the money, too.
    """

    max_answer_bytes: int = 64 * 1024 * 1024
    max_loss_fields: int = 100
    inline_bytes: int = 256 * 1024
    vault_ttl: int = 24 * 3600
    vault_deadline: float = 0.25
    vault_entry_bytes: int = 128 * 1024
    vault_principal_bytes: int = 2 * 1024 * 1024
    vault_principal_entries: int = 512
    vault_full_at: float = 0.75
