"""Running the simulator as a process of its own."""

import asyncio
import signal
from collections.abc import Callable

import uvloop

from omni_simulator.server import Options, Simulator


def run(
    host: str = "127.0.0.1",
    port: int = 9100,
    *,
    options: Options | None = None,
    ready: Callable[[Simulator], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. ``ready`` is called once it listens, to say where.

    Raises ``OSError`` when the port is taken, ``InvalidRequest`` when the options' script is outside the grammar.
    """
    simulator = Simulator(host, port, options=options)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(simulator, ready))


async def _serve(simulator: Simulator, ready: Callable[[Simulator], None] | None) -> None:
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked_to_stop.set)
    await simulator.start()
    try:
        if ready is not None:
            ready(simulator)
        await asked_to_stop.wait()
    finally:
        await simulator.stop()
