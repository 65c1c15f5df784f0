"""The translator's life."""

from pathlib import Path

import pytest
from omni_core.runtime import close_runtime, open_runtime
from omni_core.settings import CoreSettings
from omni_translator.build import build
from omni_translator.domain.codecs import CODECS


async def test_it_is_ready_between_start_and_drain_and_starts_once(tmp_path: Path) -> None:
    settings = CoreSettings(
        data_dir=tmp_path, redis_url="redis://127.0.0.1:1", nats_url="nats://127.0.0.1:1", token="t", peers={}
    )
    runtime = open_runtime(settings, instance_id="t1")
    try:
        component = build(runtime)
        assert not component.checks()["codecs"].ok
        await component.start()
        assert component.checks()["codecs"].ok
        assert component.checks()["codecs"].detail == ", ".join(sorted(CODECS))
        with pytest.raises(RuntimeError):
            await component.start()
        await component.drain()
        assert not component.checks()["codecs"].ok
        await component.stop()
    finally:
        await close_runtime(runtime)
