"""Whose requests and answers are kept with what they say, and how much of them."""

from zlib import crc32

import msgspec


class Bodies(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``everything`` is all keys'; else those of ``keys`` (ids), and what went to ``providers`` (ids) or through
    ``combos``. They are kept for ``keep`` seconds, ``most_bytes`` of each, of ``share`` requests in a hundred. With
    ``redact`` secrets and what tells of people are masked first. A key's own ``no_bodies`` stands above all."""

    everything: bool = False
    keys: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    combos: tuple[str, ...] = ()
    keep: int = 604_800
    most_bytes: int = 65_536
    share: int = 100
    redact: bool = True

    def draws(self, id_: str) -> bool:
        """Whether the request of that id is among the share; each who asks comes to the same."""
        return crc32(id_.encode()) % 100 < self.share

    @property
    def by_way(self) -> bool:
        """Whether it must be seen where a request goes, to know whether it is kept."""
        return bool(self.providers or self.combos)
