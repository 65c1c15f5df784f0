"""NATS JetStream as OmniRoute uses it: publish with an ack, pull, and one small key-value bucket.

A ``Bus`` connects when first used (or by ``connect``) and then reconnects for ever: NATS being away is a
``DependencyUnavailable`` of the call that needed it, never the end of the process.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError, KeyNotFoundError, NotFoundError, ServerError
from nats.js.kv import KeyValue
from omni_wire.errors import DependencyUnavailable

from omni_core.bus_link import Link

log = logging.getLogger("omniroute.bus")

T = TypeVar("T")

# Seconds.
# A connection whose packets are dropped is given up when two pings are unanswered, after 6 s at most. From then on
# tries follow one another, each short, so that within 2 s after the way is free again one has begun and succeeded.
CONNECT_TIMEOUT = 1.0
RECONNECT_WAIT = 0.25
PING_INTERVAL = 2
DUPLICATE_WINDOW = 600.0
MAX_AGE = 30 * 24 * 3600.0  # a stream nobody reads must not fill the disk for ever
ACK_WAIT = 30.0
WATCH_POLL = 2.0
TRACE_HEADER = "traceparent"
_RETRY = 0.5


class KvChange(msgspec.Struct, frozen=True):
    """A key of a bucket and its value; None when it was deleted."""

    key: str
    value: bytes | None


class Stored(msgspec.Struct, frozen=True):
    """A message that is in a stream, by its ``number`` there."""

    number: int
    data: bytes


class Message:
    """One delivery of a pull consumer. It comes again unless it is acked within 30 s."""

    __slots__ = ("_msg", "data", "num_delivered", "traceparent")

    def __init__(self, msg: Msg) -> None:
        self._msg = msg
        self.data = msg.data
        self.num_delivered = msg.metadata.num_delivered
        self.traceparent = msg.headers.get(TRACE_HEADER, "") if msg.headers else ""

    async def ack(self) -> None:
        """It is dealt with."""
        with _told("ack"):
            await self._msg.ack()

    async def nak(self, delay: float) -> None:
        """Deliver it again after ``delay`` seconds."""
        with _told("nak"):
            await self._msg.nak(delay=delay)

    async def term(self) -> None:
        """Never deliver it again."""
        with _told("term"):
            await self._msg.term()


class Bus:
    """A connection to ``url``, or to any of several, comma-separated, of one cluster; ``name`` is how NATS lists it.

    Streams and buckets that it makes are on ``replicas`` servers of a cluster. ``inbox`` begins the subjects of
    answers; a service that has its own can be kept from hearing others'. ``contexts`` gives the encryption for those
    whose URL says tls://. Methods raise ``DependencyUnavailable``.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        replicas: int = 1,
        inbox: str = "_INBOX",
        contexts: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._inbox = inbox
        self._contexts = contexts
        self._replicas = replicas
        self._urls = [one.strip() for one in url.split(",") if one.strip()]
        self._name = name
        self._client, self._js = _new_client()
        self._up = asyncio.Event()
        self._lost = asyncio.Event()  # set, and replaced, when the connection of this epoch ends
        self._closing = False
        self._connecting: asyncio.Task[None] | None = None
        self._buckets: dict[str, KeyValue] = {}
        self._reported = False
        self.epoch = 0  # counts connections, so that whoever depends on one sees that it was replaced

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    async def connect(self, timeout: float = 5.0) -> None:
        """Wait up to ``timeout`` seconds for the connection; trying goes on in the background after that."""
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        if self._client.is_connected:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            raise DependencyUnavailable("NATS is not reachable") from None

    async def close(self) -> None:
        """Disconnect, for good."""
        self._closing = True
        task = self._connecting
        while task is not None and not task.done():
            task.cancel()  # again, as the library may swallow it: see _cancellable
            await asyncio.wait([task], timeout=_RETRY)
        # The client asserts that it was connected once; one that never was has nothing to close.
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError, AssertionError):
            await self._client.close()
        self._up.clear()

    async def publish(
        self, subject: str, data: bytes, msg_id: str, timeout: float = 5.0, *, traceparent: str = ""
    ) -> None:
        """Publish to JetStream; returns when the stream has it. It drops a ``msg_id`` seen within 10 minutes."""
        deadline = asyncio.get_running_loop().time() + timeout
        await self.connect(timeout)
        left = max(deadline - asyncio.get_running_loop().time(), 0.05)
        headers = {api.Header.MSG_ID.value: msg_id}
        if traceparent:
            headers[TRACE_HEADER] = traceparent
        with _told(f"publish to {subject}"):
            # For room in its own buffer the library would wait without a bound.
            async with asyncio.timeout(left):
                await self._js.publish(subject, data, timeout=left, headers=headers)

    async def ensure_stream(
        self, name: str, subjects: list[str], *, max_age: float = MAX_AGE, max_bytes: int = -1
    ) -> None:
        """Create the stream, or bring it to this shape. Safe to call from every process that uses it. What is older
        than ``max_age`` seconds, or beyond ``max_bytes``, is dropped from its old end."""
        await self.connect()
        config = api.StreamConfig(
            name=name,
            subjects=subjects,
            storage=api.StorageType.FILE,
            duplicate_window=DUPLICATE_WINDOW,
            max_age=max_age,
            max_bytes=max_bytes,
            num_replicas=self._replicas,
        )
        with _told(f"create stream {name}"):
            try:
                await self._js.add_stream(config)
            except BadRequestError:  # there is one of another shape
                await self._js.update_stream(config)

    async def pull(self, stream: str, durable: str, subject: str) -> "PullConsumer":
        """The durable consumer of ``subject``, made when there is none. Raises while the stream does not exist."""
        consumer = PullConsumer(self, stream, durable, subject)
        await consumer.open()
        return consumer

    async def stored(self, stream: str, subject: str, after: int) -> Stored | None:
        """The first message of ``subject`` behind that with the number ``after``; None where there is none."""
        await self.connect()
        with _told(f"read {stream}"):
            try:
                found = await self._js.get_msg(stream, seq=after + 1, subject=subject, next=True)
            except NotFoundError:
                return None
        return Stored(int(found.seq or 0), found.data or b"")

    async def forget(self, stream: str, number: int) -> None:
        """Remove a message from a stream, whether it was there or not."""
        await self.connect()
        with _told(f"remove from {stream}"):
            try:
                await self._js.delete_msg(stream, number)
            except ServerError:  # whatever the reason is, that it is not there among them
                with contextlib.suppress(NotFoundError):
                    await self._js.get_msg(stream, number)
                    raise

    async def count(self, stream: str) -> int:
        """How many messages are in a stream, 0 where there is none."""
        await self.connect()
        with _told(f"ask about {stream}"):
            try:
                return int((await self._js.stream_info(stream)).state.messages)
            except NotFoundError:
                return 0

    async def ask(self, subject: str, data: bytes, timeout: float) -> bytes | None:
        """What whoever listens to ``subject`` answers; None where nobody does, or not in ``timeout`` seconds. Not by
        JetStream: nothing of it is kept."""
        await self.connect(timeout)
        with _told(f"ask {subject}"):
            try:
                return (await self._client.request(subject, data, timeout=timeout)).data
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                return None

    async def answer(self, subject: str, reply: Callable[[bytes], bytes]) -> None:
        """Answer all that is asked of ``subject``. Goes on through disconnections; never ends."""
        while True:
            try:
                await self.connect(timeout=60.0)
                lost = self._lost
                with _cancellable():
                    asked = await self._client.subscribe(subject)
                try:
                    while not lost.is_set():
                        msg = await _unless(lost, _heard(asked))
                        if msg is not None and msg.reply:
                            await self._client.publish(msg.reply, reply(msg.data))
                finally:
                    with contextlib.suppress(nats.errors.Error, OSError):
                        await asked.unsubscribe()
            except (nats.errors.Error, TimeoutError, OSError, DependencyUnavailable) as error:
                log.debug("answering %s again: %s", subject, type(error).__name__)
                await asyncio.sleep(_RETRY)

    async def kv_put(self, bucket: str, key: str, value: bytes, *, ttl: float = 0.0) -> int:
        """Store, and return the bucket's revision. The bucket is made when there is none: one that forgets what was not
        stored again within ``ttl`` seconds, and all of it when NATS ends, where a ``ttl`` is given."""
        await self.connect()
        with _told(f"write {bucket}/{key}"):
            try:
                return await (await self._bucket(bucket, ttl)).put(key, value)
            except nats.errors.Error:
                self._buckets.pop(bucket, None)  # it may have gone with the server's data; look again next time
                raise

    async def kv_delete(self, bucket: str, key: str) -> None:
        """Forget a key, whether it was there or not."""
        await self.connect()
        with _told(f"delete {bucket}/{key}"):
            await (await self._bucket(bucket)).delete(key)

    async def kv_get(self, bucket: str, key: str) -> bytes | None:
        """The value; None when there is none."""
        await self.connect()
        with _told(f"read {bucket}/{key}"):
            try:
                return (await (await self._bucket(bucket)).get(key)).value
            except KeyNotFoundError:
                return None

    async def kv_watch_all(
        self, bucket: str, pattern: str, *, ttl: float = 0.0
    ) -> AsyncGenerator[KvChange | None, None]:
        """What is under ``pattern`` ("router.>") now, then each change. Goes on through disconnections; never ends.

        None comes first whenever it begins, and begins again because a connection was lost: what happened meanwhile is
        told only as far as it is still there. That a value's time ran out is not told. A value may come twice.
        """
        while True:
            try:
                await self.connect(timeout=60.0)
                lost = self._lost
                # Writing to a bucket is publishing, which whoever listens hears at once. A consumer would be one more
                # thing that may vanish at the server, and is asked only for what was there before.
                with _cancellable():
                    await self._bucket(bucket, ttl)
                    live = await self._client.subscribe(f"$KV.{bucket}.{pattern}")
                try:
                    yield None
                    for msg in await self._stored(bucket, pattern):
                        yield _change(bucket, msg)
                    while not lost.is_set():
                        heard = await _unless(lost, _heard(live))
                        if heard is not None:
                            yield _change(bucket, heard)
                finally:
                    with contextlib.suppress(nats.errors.Error, OSError):
                        await live.unsubscribe()
            except (nats.errors.Error, TimeoutError, OSError, DependencyUnavailable) as error:
                self._buckets.pop(bucket, None)
                log.debug("watching %s/%s again: %s", bucket, pattern, type(error).__name__)
                await asyncio.sleep(_RETRY)

    async def _stored(self, bucket: str, pattern: str) -> list[Msg]:
        """The last message of each key under ``pattern``."""
        watcher = await self._watcher(bucket, pattern)
        try:
            with _cancellable():
                waiting = (await watcher.consumer_info()).num_pending or 0
                found: list[Msg] = []
                while len(found) < waiting:
                    found += await watcher.fetch(min(waiting - len(found), 256), timeout=WATCH_POLL)
                return found
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await watcher.unsubscribe()

    async def kv_watch(self, bucket: str, key: str) -> AsyncGenerator[tuple[int, bytes], None]:
        """The current value when there is one, then each change. Goes on through disconnections; never ends.

        With each comes its number in the bucket, from 1. A value may be seen twice after a reconnect; one that was
        replaced at once may not be seen.
        """
        seen: tuple[int, bytes] | None = None
        while True:
            try:
                await self.connect(timeout=60.0)
                lost = self._lost
                with _cancellable():
                    await self._bucket(bucket)
                    watcher = await self._watcher(bucket, key)
                try:
                    while not lost.is_set():
                        msg = await _unless(lost, _next(watcher))
                        if msg is None or (msg.headers and "KV-Operation" in msg.headers):
                            continue
                        found = (msg.metadata.sequence.stream, msg.data)
                        if found != seen:
                            seen = found
                            yield found
                finally:
                    with contextlib.suppress(nats.errors.Error, OSError):
                        await watcher.unsubscribe()
            except (nats.errors.Error, TimeoutError, OSError, DependencyUnavailable) as error:
                self._buckets.pop(bucket, None)
                log.debug("watching %s/%s again: %s", bucket, key, type(error).__name__)
                await asyncio.sleep(_RETRY)

    async def _watcher(self, bucket: str, key: str) -> JetStreamContext.PullSubscription:
        # An ephemeral pull consumer of the key's last value and what follows: it needs no heartbeat machinery, because
        # every fetch is a question that must be answered in time.
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=60.0,
            mem_storage=True,
        )
        return await self._js.pull_subscribe(f"$KV.{bucket}.{key}", stream=f"KV_{bucket}", config=config)

    async def subscribe(self, stream: str, durable: str, subject: str) -> JetStreamContext.PullSubscription:
        """Bind to a durable consumer (``PullConsumer`` is what callers want)."""
        config = api.ConsumerConfig(ack_policy=api.AckPolicy.EXPLICIT, ack_wait=ACK_WAIT, max_ack_pending=1000)
        return await self._js.pull_subscribe(subject, durable, stream=stream, config=config)

    async def _bucket(self, name: str, ttl: float = 0.0) -> KeyValue:
        bucket = self._buckets.get(name)
        if bucket is None:
            try:
                bucket = await self._js.key_value(name)
            except NotFoundError:
                storage = api.StorageType.MEMORY if ttl else api.StorageType.FILE
                bucket = await self._js.create_key_value(
                    bucket=name, history=1, ttl=ttl or None, storage=storage, replicas=self._replicas
                )
            self._buckets[name] = bucket
        return bucket

    async def _connect(self) -> None:
        self._client._transport = Link(self._contexts)  # there is no public way in
        while not self._client.is_connected:
            try:
                # Tries for ever while the server is away; comes back with an error when it cannot even try.
                await self._client.connect(
                    self._urls,
                    name=self._name,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_down,
                    reconnected_cb=self._on_up,
                    closed_cb=self._on_closed,
                    connect_timeout=CONNECT_TIMEOUT,  # type: ignore[arg-type]  # annotated int, used as seconds
                    reconnect_time_wait=RECONNECT_WAIT,  # type: ignore[arg-type]
                    max_reconnect_attempts=-1,
                    ping_interval=PING_INTERVAL,
                    inbox_prefix=self._inbox,
                )
            except (nats.errors.Error, OSError, ValueError, TimeoutError) as error:
                await self._on_error(error)
                await asyncio.sleep(_RETRY)
        await self._on_up()

    async def _on_up(self) -> None:
        self.epoch += 1
        self._reported = False
        self._up.set()
        log.info("connected to NATS", extra={"fields": {"connection": self.epoch}})

    async def _on_down(self) -> None:
        self._up.clear()
        self._buckets.clear()  # the server may come back without them
        lost, self._lost = self._lost, asyncio.Event()
        lost.set()

    async def _on_closed(self) -> None:
        """The client gave up, as it does when the server turns it away (its rights changed, say): begin anew."""
        if not self._closing:
            await self._on_down()
            self._client, self._js = _new_client()
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _on_error(self, error: Exception) -> None:
        if not self._reported:  # once an outage; each try would fill the log
            self._reported = True
            log.warning("NATS: %s", _reason(error))


def _reason(error: Exception) -> str:
    """The kind of error, and what TLS or our rights have to do with it: messages may hold addresses and users."""
    if isinstance(error, ssl.SSLError):
        return f"{type(error).__name__} ({(error.reason or 'TLS').replace('_', ' ').lower()})"
    return str(error) if isinstance(error, ConnectionRefusedError) and not error.errno else type(error).__name__


class PullConsumer:
    """A durable consumer; several processes may share one. Made by ``Bus.pull``."""

    def __init__(self, bus: Bus, stream: str, durable: str, subject: str) -> None:
        self._bus = bus
        self._names = (stream, durable, subject)
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def open(self) -> JetStreamContext.PullSubscription:
        """Bind, unless it is bound."""
        if self._subscription is None:
            await self._bus.connect()
            with _told(f"consume {self._names[0]}"):
                self._subscription = await self._bus.subscribe(*self._names)
        return self._subscription

    async def fetch(self, max_messages: int, timeout: float) -> list[Message]:
        """What is there, at most ``max_messages``; waits up to ``timeout`` seconds for the first. Empty when none came.

        Raises ``DependencyUnavailable`` when NATS cannot be asked; the next call binds anew.
        """
        await self._bus.connect(timeout)
        subscription = await self.open()
        try:
            with _told(f"fetch from {self._names[0]}"):
                return [Message(msg) for msg in await _fetch(subscription, max_messages, timeout)]
        except DependencyUnavailable:
            self._subscription = None
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()
            raise

    async def backlog(self) -> int:
        """How many messages nobody has acknowledged, delivered or not. Raises ``DependencyUnavailable``."""
        await self._bus.connect()
        subscription = await self.open()
        with _told(f"ask about {self._names[0]}"):
            found = await subscription.consumer_info()
        return int(found.num_pending or 0) + int(found.num_ack_pending or 0)


def _new_client() -> tuple[Client, JetStreamContext]:
    client = Client()
    return client, client.jetstream()


async def _unless(ended: asyncio.Event, answer: Coroutine[Any, Any, T]) -> T | None:
    """``answer``, or None as soon as ``ended`` is set: it would not come any more."""
    tasks = asyncio.ensure_future(answer), asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _fetch(subscription: JetStreamContext.PullSubscription, most: int, timeout: float) -> list[Msg]:
    try:
        return await subscription.fetch(most, timeout=timeout)
    except TimeoutError:
        return []


def _change(bucket: str, msg: Msg) -> KvChange:
    gone = msg.headers is not None and "KV-Operation" in msg.headers
    return KvChange(msg.subject.removeprefix(f"$KV.{bucket}."), None if gone else msg.data)


async def _heard(live: Subscription) -> Msg | None:
    try:
        return await live.next_msg(WATCH_POLL)
    except TimeoutError:
        return None


async def _next(watcher: JetStreamContext.PullSubscription) -> Msg | None:
    found = await _fetch(watcher, 1, WATCH_POLL)
    return found[0] if found else None


@contextlib.contextmanager
def _told(action: str) -> Iterator[None]:
    with _cancellable():
        try:
            yield
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise DependencyUnavailable(f"NATS could not {action}") from error


@contextlib.contextmanager
def _cancellable() -> Iterator[None]:
    """Raise ``CancelledError`` at the end if the task was cancelled meanwhile and nobody said so.

    The library waits with ``asyncio.wait_for``, which in Python 3.11 swallows a cancellation that comes together with
    the answer: a loop that is told to end would go on for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    except Exception:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from None
        raise
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
