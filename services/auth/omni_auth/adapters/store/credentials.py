"""The vault: credentials of accounts, sealed in the database, each with the change of its account, and tokens of
logins."""

from collections.abc import Callable

from omni_wire.errors import DependencyUnavailable
from sqlalchemy import Connection, RowMapping, func, inspect, select

from omni_auth.adapters.store import audit
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.tables import credentials
from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.domain.vault import Binding, Chance, Sealed, VaultRefused, Wrapping, rewrap, seal, unseal

KIND = "accounts"  # in what each is bound to, a proxy's too: ids are of one kind only
# What the ids begin with of what people and logins have sealed; an account's never do.
OF_PEOPLE, LOGIN = "person:", "login"
BATCH = 50
TRIES = 3  # a key service may take its time for each

_ELSEWHERE = credentials.c.id.startswith(OF_PEOPLE) | credentials.c.id.startswith(LOGIN)


class Vault:
    """``keys`` are what the data keys are wrapped with."""

    def __init__(self, database: Database, keys: Wrapping, chance: Chance) -> None:
        self._database, self._keys, self._chance = database, keys, chance
        self._open: dict[tuple[str, bytes], str] = {}  # what was unwrapped already, by id and wrapped key

    def seal(
        self, connection: Connection, *, organisation: str, account_id: str, version: str, secret: str, now: int
    ) -> None:
        """In the caller's transaction, in place of what was sealed for the account. ``now`` in epoch ms. Raises
        ``DependencyUnavailable`` without a key to seal with."""
        try:
            binding = Binding(organisation, _kind(account_id), account_id, version, now)
            sealed = seal(secret, binding, self._keys, self._chance)
        except VaultRefused as error:
            raise DependencyUnavailable(f"the credential cannot be sealed: {error}") from None
        self.forget(connection, account_id)
        row = {
            "id": account_id, "organisation": organisation, "version": version, "sealed_at": now, "kek": sealed.kek,
            "wrapped": sealed.wrapped, "content": sealed.content,
        }  # fmt: skip
        connection.execute(credentials.insert(), row)

    def forget(self, connection: Connection, account_id: str) -> None:
        connection.execute(credentials.delete().where(credentials.c.id == account_id))

    def unsealed(self, connection: Connection, account_id: str) -> str:
        """What is sealed under that id alone; "" for nothing. Raises ``VaultRefused``."""
        row = connection.execute(select(credentials).where(credentials.c.id == account_id)).mappings().first()
        return unseal(_sealed(row), _binding(row), self._keys) if row is not None else ""

    def opened(self) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
        """The secret and its version of every account by its id; and of those that do not open, why. What
        people and logins have sealed here is theirs to open."""
        with self._database.reading() as connection:
            own = select(credentials).where(~_ELSEWHERE)
            rows = connection.execute(own).mappings().all()
        found: dict[str, tuple[str, str]] = {}
        refused: dict[str, str] = {}
        known: dict[tuple[str, bytes], str] = {}
        for row in rows:
            at = (row["id"], bytes(row["wrapped"]) + bytes(row["content"]))
            try:
                known[at] = self._open.get(at) or unseal(_sealed(row), _binding(row), self._keys)
            except VaultRefused as error:
                refused[row["id"]] = str(error)
            else:
                found[row["id"]] = known[at], row["version"]
        self._open = known
        return found, refused

    def opened_alone(self, connection: Connection, of: str) -> str:
        """One secret, "" for none. Raises ``DependencyUnavailable`` for one that does not open."""
        try:
            return self.unsealed(connection, of)
        except VaultRefused as error:
            raise DependencyUnavailable(f"a second factor does not open: {error}") from None

    def used(self) -> dict[str, int]:
        """How many credentials each key wraps."""
        asked = select(credentials.c.kek, func.count().label("wrapped")).group_by(credentials.c.kek)
        with self._database.reading() as connection:
            return {row.kek: row.wrapped for row in connection.execute(asked)}

    def unopened(self) -> dict[str, tuple[int, str]]:
        """The keys that do not open what they wrap: how many credentials that is, and why. One credential that alone
        does not open is damaged, whichever keys there are."""
        with self._database.reading() as connection:
            if not inspect(connection).has_table(credentials.name):  # of a version without a vault
                return {}
            rows = connection.execute(select(credentials)).mappings().all()
        of: dict[str, list[RowMapping]] = {}
        for row in rows:
            of.setdefault(row["kek"], []).append(row)
        reasons = {kek: self._unopened(wrapped[:TRIES]) for kek, wrapped in of.items()}
        return {kek: (len(of[kek]), reason) for kek, reason in reasons.items() if reason}

    def _unopened(self, rows: list[RowMapping]) -> str:
        """Why none of them opens; "" where one does."""
        reason = ""
        for row in rows:
            try:
                unseal(_sealed(row), _binding(row), self._keys)
            except VaultRefused as error:
                reason = str(error)
            else:
                return ""
        return reason

    def rewrap(self, now: int, actor: str, progress: Callable[[int], None] = lambda done: None) -> int:
        """Bring every data key under the primary, a few at a time; how many were. Whoever serves meanwhile opens both
        kinds. Raises ``DependencyUnavailable`` for one that does not open, which stays as it was."""
        done = 0
        while moved := self._rewrap_some(now, actor):
            done += moved
            progress(done)
        return done

    def _rewrap_some(self, now: int, actor: str) -> int:
        try:
            primary = self._keys.primary
            asked = select(credentials).where(credentials.c.kek != primary).order_by(credentials.c.id).limit(BATCH)
            with self._database.writing() as connection:
                rows = connection.execute(asked).mappings().all()
                for row in rows:
                    fresh = rewrap(_sealed(row), _binding(row), self._keys)
                    values = {"kek": fresh.kek, "wrapped": fresh.wrapped}
                    connection.execute(credentials.update().where(credentials.c.id == row["id"]).values(**values))
                if rows:
                    told = {"to": primary, "accounts": [row["id"] for row in rows]}
                    audit.append(
                        connection,
                        at=now,
                        organisation=DEFAULT_ORGANISATION,
                        actor=actor,
                        action="vault.rewrap",
                        target=f"vault/{primary}",
                        after=told,
                    )
        except VaultRefused as error:
            raise DependencyUnavailable(f"a credential cannot be wrapped anew: {error}") from None
        return len(rows)


def _sealed(row: RowMapping) -> Sealed:
    return Sealed(row["kek"], bytes(row["wrapped"]), bytes(row["content"]))


def _binding(row: RowMapping) -> Binding:
    return Binding(row["organisation"], _kind(row["id"]), row["id"], row["version"], int(row["sealed_at"]))


def _kind(of: str) -> str:
    return "people" if of.startswith(OF_PEOPLE) else KIND
