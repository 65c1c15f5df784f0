"""NATS JetStream as OmniRoute uses it: publish with an ack, pull, and one small key-value bucket.

A ``Bus`` connects when first used (or by ``connect``) and then reconnects for ever: NATS being away is a
``DependencyUnavailable`` of the call that needed it, never the end of the process.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterator

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError, KeyNotFoundError, NotFoundError
from nats.js.kv import KeyValue
from omni_wire.errors import DependencyUnavailable

log = logging.getLogger("omniroute.bus")

# Seconds.
CONNECT_TIMEOUT = 2.0
RECONNECT_WAIT = 0.25
PING_INTERVAL = 10  # two unanswered ones end a dead connection
DUPLICATE_WINDOW = 600.0
MAX_AGE = 30 * 24 * 3600.0  # a stream nobody reads must not fill the disk for ever
ACK_WAIT = 30.0
WATCH_POLL = 2.0
_RETRY = 0.5


class Message:
    """One delivery of a pull consumer. It comes again unless it is acked within 30 s."""

    __slots__ = ("_msg", "data", "num_delivered")

    def __init__(self, msg: Msg) -> None:
        self._msg = msg
        self.data = msg.data
        self.num_delivered = msg.metadata.num_delivered

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
    """A connection to ``url``; ``name`` is how NATS lists it. Methods raise ``DependencyUnavailable``."""

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._client = Client()
        self._js: JetStreamContext = self._client.jetstream()
        self._up = asyncio.Event()
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
        task = self._connecting
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        # The client asserts that it was connected once; one that never was has nothing to close.
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError, AssertionError):
            await self._client.close()
        self._up.clear()

    async def publish(self, subject: str, data: bytes, msg_id: str, timeout: float = 5.0) -> None:
        """Publish to JetStream; returns when the stream has it. It drops a ``msg_id`` seen within 10 minutes."""
        deadline = asyncio.get_running_loop().time() + timeout
        await self.connect(timeout)
        left = max(deadline - asyncio.get_running_loop().time(), 0.05)
        with _told(f"publish to {subject}"):
            await self._js.publish(subject, data, timeout=left, headers={api.Header.MSG_ID.value: msg_id})

    async def ensure_stream(self, name: str, subjects: list[str]) -> None:
        """Create the stream, or bring it to this shape. Safe to call from every process that uses it."""
        await self.connect()
        config = api.StreamConfig(
            name=name,
            subjects=subjects,
            storage=api.StorageType.FILE,
            duplicate_window=DUPLICATE_WINDOW,
            max_age=MAX_AGE,
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

    async def kv_put(self, bucket: str, key: str, value: bytes) -> int:
        """Store, and return the bucket's revision. The bucket is made when there is none."""
        await self.connect()
        with _told(f"write {bucket}/{key}"):
            try:
                return await (await self._bucket(bucket)).put(key, value)
            except nats.errors.Error:
                self._buckets.pop(bucket, None)  # it may have gone with the server's data; look again next time
                raise

    async def kv_get(self, bucket: str, key: str) -> bytes | None:
        """The value; None when there is none."""
        await self.connect()
        with _told(f"read {bucket}/{key}"):
            try:
                return (await (await self._bucket(bucket)).get(key)).value
            except KeyNotFoundError:
                return None

    async def kv_watch(self, bucket: str, key: str) -> AsyncGenerator[bytes, None]:
        """The current value when there is one, then each change. Goes on through disconnections; never ends.

        A value may be seen twice after a reconnect; one that was replaced at once may not be seen.
        """
        seen: tuple[int, bytes] | None = None
        while True:
            try:
                await self.connect(timeout=60.0)
                epoch = self.epoch
                await self._bucket(bucket)
                watcher = await self._watcher(bucket, key)
                try:
                    while epoch == self.epoch:
                        msg = await _next(watcher)
                        if msg is None or (msg.headers and "KV-Operation" in msg.headers):
                            continue
                        found = (msg.metadata.sequence.stream, msg.data)
                        if found != seen:
                            seen = found
                            yield msg.data
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

    async def _bucket(self, name: str) -> KeyValue:
        bucket = self._buckets.get(name)
        if bucket is None:
            try:
                bucket = await self._js.key_value(name)
            except NotFoundError:
                bucket = await self._js.create_key_value(bucket=name, history=1, storage=api.StorageType.FILE)
            self._buckets[name] = bucket
        return bucket

    async def _connect(self) -> None:
        while not self._client.is_connected:
            try:
                # Tries for ever while the server is away; comes back with an error when it cannot even try.
                await self._client.connect(
                    self._url,
                    name=self._name,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_down,
                    reconnected_cb=self._on_up,
                    connect_timeout=CONNECT_TIMEOUT,  # type: ignore[arg-type]  # annotated int, used as seconds
                    reconnect_time_wait=RECONNECT_WAIT,  # type: ignore[arg-type]
                    max_reconnect_attempts=-1,
                    ping_interval=PING_INTERVAL,
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

    async def _on_error(self, error: Exception) -> None:
        if not self._reported:  # once an outage; each try would fill the log
            self._reported = True
            log.warning("NATS: %s", type(error).__name__)


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


async def _fetch(subscription: JetStreamContext.PullSubscription, most: int, timeout: float) -> list[Msg]:
    try:
        return await subscription.fetch(most, timeout=timeout)
    except TimeoutError:
        return []


async def _next(watcher: JetStreamContext.PullSubscription) -> Msg | None:
    found = await _fetch(watcher, 1, WATCH_POLL)
    return found[0] if found else None


@contextlib.contextmanager
def _told(action: str) -> Iterator[None]:
    try:
        yield
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise DependencyUnavailable(f"NATS could not {action}") from error
