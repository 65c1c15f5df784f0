"""The provider ``demo``: the simulator in this process, so that the first curl works without anybody's key."""

from typing import TYPE_CHECKING

from omni_catalogue.snapshot import Model, Price

if TYPE_CHECKING:
    from omni_auth.build import DemoProvider

MODEL = "demo/sim"

# A price, so that budgets and the usage page have something to show: 1 USD a million tokens in, 4 out.
_PRICE = Price(input=1_000_000_000, output=4_000_000_000, cached_input=100_000_000, cache_write=1_000_000_000)
_NAMES = ("sim", "sim+think", "sim+tools", "sim+agent", "sim+tps:30", "*")


class Demo:
    """The simulator on a free loopback port."""

    def __init__(self) -> None:
        from omni_simulator import Options, Simulator

        self._simulator = Simulator("127.0.0.1", 0, options=Options(keep_requests=0))

    @property
    def url(self) -> str:
        """After ``start``."""
        return self._simulator.url

    async def start(self) -> None:
        await self._simulator.start()

    async def stop(self) -> None:
        await self._simulator.stop()

    def provider(self) -> "DemoProvider":
        """As auth takes it. After ``start``."""
        from omni_auth.build import DemoProvider

        models = tuple(Model(id=name, price=_PRICE, context=128_000, max_output=16_000) for name in _NAMES)
        return DemoProvider(base_url=f"{self._simulator.url}/v1", models=models)
