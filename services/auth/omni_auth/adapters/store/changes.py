"""What changed, written with the change: a row of the outbox and one of the audit log, in its transaction."""

from sqlalchemy import Connection, func, select

from omni_auth.adapters.store import audit
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.tables import outbox
from omni_auth.ports import Change


def record(
    connection: Connection,
    *,
    at: int,
    organisation: str,
    actor: str,
    kind: str,
    target: str,
    action: str,
    before: object = None,
    after: object = None,
) -> None:
    """``at`` in epoch ms; ``before`` and ``after`` are documents. Numbers have no gaps and are in the order of commits:
    writers take turns."""
    last = connection.scalar(select(func.max(outbox.c.seq))) or 0
    connection.execute(
        outbox.insert(),
        {"seq": last + 1, "at": at, "organisation": organisation, "kind": kind, "target": target, "action": action},
    )
    audit.append(
        connection,
        at=at,
        organisation=organisation,
        actor=actor,
        action=f"{kind}.{action}",
        target=f"{kind}/{target}",
        before=before,
        after=after,
    )


class Outbox:
    """What is still to be told."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, seq: int, limit: int = 100) -> list[Change]:
        """The next changes, oldest first."""
        asked = select(outbox).where(outbox.c.seq > seq).order_by(outbox.c.seq).limit(limit)
        with self._database.reading() as connection:
            return [Change(**row) for row in connection.execute(asked).mappings()]

    def forget(self, seq: int) -> None:
        """Drop what was told up to ``seq``. The last row stays: numbers go on from it."""
        with self._database.writing() as connection:
            last = connection.scalar(select(func.max(outbox.c.seq))) or 0
            connection.execute(outbox.delete().where(outbox.c.seq <= seq, outbox.c.seq < last))
