"""What a router of the test writes down of its attempts, in the way in which a provider's own books would know: a plain
write, which a kill does not undo. And how many it has asked for, where all can see it.

A line is ``g <attempt> <key> <reserved> <truth>`` once an attempt is granted, and ``s <attempt>`` when the ledger has
said that it is settled."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec


class Noted(msgspec.Struct):
    """An attempt that was granted: ``truth`` is what the provider charges for it, in nano-USD."""

    key: str
    reserved: int
    truth: int
    settled: bool = False


class Notes:
    def __init__(self, file: Path) -> None:
        self._out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def granted(self, attempt: str, key: str, reserved: int, truth: int) -> None:
        os.write(self._out, f"g {attempt} {key} {reserved} {truth}\n".encode())

    def settled(self, attempt: str) -> None:
        os.write(self._out, f"s {attempt}\n".encode())

    def close(self) -> None:
        os.close(self._out)


def noted(files: list[Path]) -> dict[str, Noted]:
    found: dict[str, Noted] = {}
    for file in files:
        for kind, attempt, *rest in _lines(file):
            if kind == "g":
                key, reserved, truth = rest
                found[attempt] = Noted(key, int(reserved), int(truth))
            elif attempt in found:  # else it is in the notes of a life before
                found[attempt].settled = True
    return found


def _lines(file: Path) -> Iterator[list[str]]:
    with file.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield line.split()


class Progress:
    """How many admissions each router has asked for, in a file that all of them map."""

    def __init__(self, file: Path, routers: int) -> None:
        if not file.exists():
            file.write_bytes(bytes(8 * routers))
        self._file = file.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), 0)
        self.asked = memoryview(self._map).cast("Q")

    @property
    def total(self) -> int:
        return sum(self.asked)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.asked.release()
        self._map.close()
        self._file.close()
