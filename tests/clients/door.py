"""Where the gateway is, and how a client's outcome becomes a report."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from tests.clients.jobs import Job, Raised, Report, Turn


class Door(msgspec.Struct, frozen=True):
    """``url`` is the gateway's base, without a version."""

    url: str
    key: str

    def key_for(self, job: Job) -> str:
        return job.key or self.key


Client = Callable[[Door, Job], list[Turn]]


def report(client: Client, door: Door, job: Job) -> Report:
    """Any exception is an outcome here: which ones are right is for the scenarios to judge."""
    try:
        return Report(turns=client(door, job))
    except Exception as error:  # noqa: BLE001
        return Report(raised=raised(error))


def raised(error: BaseException) -> Raised:
    """Wrappers chain what they wrap: the first in the chain with a status tells it."""
    chain = list(_chain(error))
    status = next((found for link in chain if (found := _status(link)) is not None), None)
    headers = next((found for link in chain if (found := _headers(link))), {})
    return Raised(
        kind=type(error).__name__,
        family=[base.__name__ for base in type(error).__mro__[:-1]],
        status=status,
        retry_after=headers.get("retry-after"),
        message=str(error),
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    for name in ("status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int):
            return value
    return None


def _headers(error: BaseException) -> Mapping[str, str]:
    found = getattr(getattr(error, "response", None), "headers", None)
    return {str(name).lower(): str(value) for name, value in found.items()} if found is not None else {}
