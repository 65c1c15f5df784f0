"""The gateway's own secrets, which no account of the store gets for its own: else whoever may configure providers could
send an admin's key, the service token or the vault's keys to a provider of his.

Files are judged by what they really are: by the folders they lie in and the file that is there, behind every link.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from omni_auth.domain.secrecy import HINT, SecretUnreadable, is_own_variable
from omni_auth.domain.sections.base import SecretSource

SECRET_DIRS = "OMNIROUTE_SECRET_DIRS"  # noqa: S105 - the name of a setting


class OwnSecrets:
    """``env`` names files of ours; ``config_file`` is the live one. With ``OMNIROUTE_SECRET_DIRS`` (folders, apart as
    in PATH) accounts of the store may name files in those folders only."""

    def __init__(self, env: Mapping[str, str], data_dir: Path, config_file: Path | None = None) -> None:
        self._data_dir = data_dir
        named = _paths(value for name, value in env.items() if is_own_variable(name))
        self._files = [*named, *([config_file] if config_file is not None else [])]
        self._allowed = _paths(env.get(SECRET_DIRS, "").split(os.pathsep))

    def refuse_variable(self, name: str, of_keys: Iterable[SecretSource]) -> None:
        """``of_keys`` is where keys of the gateway have their secrets from. Raises ``SecretUnreadable``."""
        told = f"the environment variable {name}"
        if is_own_variable(name):
            raise SecretUnreadable(f"{told} is the gateway's own, {HINT}")
        if SecretSource("env", name) in of_keys:
            raise SecretUnreadable(f"{told} holds a key to this gateway, {HINT}")

    def real_file(self, folder: Path, name: str, of_keys: Iterable[SecretSource]) -> Path:
        """The file that ``name``, relative to ``folder``, is in truth. Raises ``SecretUnreadable``."""
        told = f"the file {name}"
        try:
            real = Path(os.path.realpath(folder / name))
        except (OSError, ValueError):
            raise SecretUnreadable(f"{told} cannot be read: not a path") from None
        itself, folders = _marks(real), set().union(*map(_marks, real.parents))
        if folders & _marks(self._data_dir):
            raise SecretUnreadable(f"{told} lies in the gateway's data directory, {HINT}")
        if any(itself & _marks(one) for one in self._files):
            raise SecretUnreadable(f"{told} is the gateway's own, {HINT}")
        if any(itself & _marks(folder / one.where) for one in of_keys if one.kind == "file"):
            raise SecretUnreadable(f"{told} holds a key to this gateway, {HINT}")
        if self._allowed and not any(folders & _marks(one) for one in self._allowed):
            raise SecretUnreadable(f"{told} lies in none of the folders that {SECRET_DIRS} names: put it into one")
        return real


def _paths(words: Iterable[str]) -> list[Path]:
    return [Path(os.path.expanduser(word.strip())) for word in words if word.strip()]


def _marks(path: Path) -> set[object]:
    """What tells a file or folder from others: its real name, and where there is one, its number on its disk, which is
    the same under every name that it has there."""
    marks = set[object]()
    try:
        marks.add(os.path.realpath(path))
        found = os.stat(path)
    except (OSError, ValueError):  # it is not there, or a setting that is no path
        return marks
    return marks | {(found.st_dev, found.st_ino)}
