"""Tells each webhook what is due for it, again until it is told, and gives up after a little more than a day."""

import asyncio
import logging
from collections.abc import Callable

from omni_core.web import HttpWeb
from omni_wire.errors import DependencyUnavailable, GatewayError

from omni_analytics.adapters.webhooks import Webhooks
from omni_analytics.domain.notices import Notice, pause_ms, post
from omni_analytics.ports import Meter, UsageStore
from omni_analytics.settings import AnalyticsSettings

logger = logging.getLogger("omniroute.analytics")


class Notifier:
    """``now_ms`` is the wall clock. At least once: what was sent and not written down, as this process died, is sent
    again, under the same id."""

    def __init__(
        self,
        store: UsageStore,
        web: HttpWeb,
        webhooks: Webhooks,
        meter: Meter,
        settings: AnalyticsSettings,
        now_ms: Callable[[], int],
    ) -> None:
        self._store, self._web, self._webhooks = store, web, webhooks
        self._meter, self._settings, self._now_ms = meter, settings, now_ms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="analytics-notifier")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def notify(self) -> int:
        """Send what is due; how many that were. Raises ``DependencyUnavailable`` where the store does not say."""
        names = self._webhooks.names()
        if not names:
            return 0
        due = await self._store.due_notices(self._now_ms(), self._settings.notices_at_once, names)
        ended = await asyncio.gather(*map(self._send, due), return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):  # its time comes again, as nothing was written down
                logger.error("a notice was not sent", exc_info=error)
        return len(due)

    async def _send(self, notice: Notice) -> None:
        trouble = await self._trouble(notice)
        given_up = pause_ms(notice.tries) is None
        self._meter.notified("delivered" if not trouble else "dead" if given_up else "failed")
        if trouble:
            told = {"webhook": notice.webhook, "event": notice.event.id, "tries": notice.tries, "error": trouble}
            logger.log(
                logging.ERROR if given_up else logging.WARNING,
                "the webhook was not told of a limit" + (", and will not be" if given_up else ""),
                extra={"fields": told},
            )
        if not trouble or given_up:
            await self._store.settle_notice(notice, "dead" if trouble else "delivered")

    async def _trouble(self, notice: Notice) -> str:
        """What came between; "" where it was told."""
        try:
            webhook = await self._webhooks.find(notice.webhook)
            call = post(webhook, notice, self._now_ms() // 1000)
            answer = await self._web.fetch(
                call, allow_private=webhook.allow_private, within=self._settings.notify_timeout
            )
        except GatewayError as error:
            if error.code == "address_refused":
                return "its address is a loopback or private one, which is not allowed"
            return error.message
        return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"

    async def _run(self) -> None:
        while True:
            try:
                sent = await self.notify()
            except DependencyUnavailable as error:
                logger.warning("cannot tell the webhook", extra={"fields": {"error": error.message}})
                sent = 0
            except Exception:  # limits must go on being told after any failure
                logger.exception("cannot tell the webhook")
                sent = 0
            if sent < self._settings.notices_at_once:
                await asyncio.sleep(self._settings.notify_every)
