"""The keys that bodies are sealed with: ``OMNIROUTE_ANALYTICS_BODIES_KEY``, or the file that
``OMNIROUTE_ANALYTICS_BODIES_KEY_FILE`` names, else ``<data dir>/analytics/bodies.key``, made when it is first needed.

A line each (in the variable, parted by commas), 32 bytes in base64. The first seals; all open, so that another can take
its place. Whoever takes a key away takes with it what is sealed with it.
"""

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from omni_wire.errors import DependencyUnavailable

from omni_analytics.domain.sealing import KEY_BYTES, Chance, SealBroken, SealKey

KEY, KEY_FILE = "OMNIROUTE_ANALYTICS_BODIES_KEY", "OMNIROUTE_ANALYTICS_BODIES_KEY_FILE"


class BodiesKeys:
    """Read once, when first asked for."""

    def __init__(self, data_dir: Path, env: Mapping[str, str], chance: Chance = os.urandom) -> None:
        self._text = env.get(KEY, "").strip()
        named = env.get(KEY_FILE, "").strip()
        self._path = Path(named) if named else data_dir / "analytics" / "bodies.key"
        self._made_here = not named
        self._chance = chance
        self._keys: tuple[SealKey, ...] = ()

    @property
    def first(self) -> SealKey:
        """The one that seals. Raises ``DependencyUnavailable``, which tells where it should be."""
        return self.all()[0]

    def one(self, id_: str) -> SealKey | None:
        """Raises as ``first``."""
        return next((key for key in self.all() if key.id == id_), None)

    def all(self) -> tuple[SealKey, ...]:
        """Raises as ``first``."""
        if not self._keys:
            self._keys = self._parsed(self._text.replace(",", "\n") or self._read())
        return self._keys

    def _read(self) -> str:
        try:
            if self._made_here:
                self._make()
            if self._made_here and stat.S_IMODE(self._path.stat().st_mode) & 0o077:
                raise DependencyUnavailable(f"{self._path} can be read by others: chmod 600 {self._path}")
            return self._path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not plain text"
            raise DependencyUnavailable(f"the key of kept bodies in {self._path} cannot be read: {why}") from None

    def _make(self) -> None:
        """Where there is none; of several processes one does."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with suppress(FileExistsError):
            if self._path.exists():
                return
            fresh.unlink(missing_ok=True)
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(base64.b64encode(self._chance(KEY_BYTES)) + b"\n")
                out.flush()
                os.fsync(out.fileno())
            try:
                os.link(fresh, self._path)  # never over another's
            finally:
                fresh.unlink(missing_ok=True)

    def _parsed(self, text: str) -> tuple[SealKey, ...]:
        where = KEY if self._text else str(self._path)
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        try:
            keys = tuple(SealKey.of(base64.b64decode(line, validate=True)) for line in lines)
        except (binascii.Error, ValueError) as error:
            told = str(error) if isinstance(error, SealBroken) else "not base64"
            raise DependencyUnavailable(
                f"a key of kept bodies in {where} is no good: {told}; make one with: openssl rand -base64 32"
            ) from None
        if not keys:
            raise DependencyUnavailable(f"there is no key of kept bodies in {where}")
        return keys
