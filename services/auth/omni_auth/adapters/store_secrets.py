"""The secrets that objects of the store name, in a variable, in a file or sealed: the ``StoreSecrets`` port."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from omni_core.redaction import keep_secret

from omni_auth.adapters.config_file import MAX_SECRET_BYTES, bytes_of, secret_text
from omni_auth.adapters.own_secrets import OwnSecrets
from omni_auth.adapters.store.credentials import Vault
from omni_auth.domain import secrecy
from omni_auth.domain.objects import Held, Named
from omni_auth.domain.own_keys import OwnKeys
from omni_auth.domain.secrecy import HINT, SecretUnreadable
from omni_auth.domain.sections.base import SecretSource
from omni_auth.domain.whole import Fetch


class AccountSecrets:
    """``folder`` is what relative files are relative to; ``own`` is what accounts may not name."""

    def __init__(self, env: Mapping[str, str], folder: Path, vault: Vault, own: OwnSecrets) -> None:
        self._env, self._folder, self._vault, self._own = env, folder, vault, own
        self._files: dict[str, tuple[int, int]] = {}

    def fetch(self, held: Held, pending: Mapping[str, str], keys: OwnKeys) -> Fetch:
        opened = cache(self._vault.opened)

        def sealed(account_id: str, version: str) -> str:
            if account_id in pending:
                return pending[account_id]
            found, refused = opened()
            if account_id in refused:
                raise SecretUnreadable(refused[account_id])
            secret, held_version = found.get(account_id, ("", ""))
            if not secret or held_version != version:
                raise SecretUnreadable("what is sealed for it is of another version" if secret else "nothing is sealed")
            return secret

        def one(whose: Named, source: SecretSource) -> str:
            entity = held.get(*whose)
            if source.kind == "vault":
                secret = sealed(entity.id if entity is not None else "", source.where)
            else:
                secret = self._foreign(source, keys)
            keep_secret(secret)
            return secret

        return one

    def _foreign(self, source: SecretSource, keys: OwnKeys) -> str:
        """What is named and is not the gateway's own. Raises ``SecretUnreadable``."""

        def read(name: str) -> str:
            self._files[name] = _stamp(self._folder / name)
            return self._text(name, self._own.real_file(self._folder, name, keys.sources))

        if source.kind == "env":
            self._own.refuse_variable(source.where, keys.sources)
        secret = secrecy.fetch(source, self._env, read)
        if keys.opens(secret):  # wherever else it is kept
            raise SecretUnreadable(f"what {source.where} holds is a key to this gateway, {HINT}")
        return secret

    def named(self, source: SecretSource) -> str:
        secret = secrecy.fetch(source, self._env, self._text)
        keep_secret(secret)
        return secret

    def moved(self) -> bool:
        """Whether a file that was read is another one now."""
        return any(_stamp(self._folder / name) != stamp for name, stamp in self._files.items())

    def _text(self, name: str, path: Path | None = None) -> str:
        return secret_text(name, bytes_of(path or self._folder / name, MAX_SECRET_BYTES))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
