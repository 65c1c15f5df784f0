"""``omniroute bans`` against a management API over HTTP, down to who is kept out at the edge."""

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result
from omni_catalogue.guard import Ban
from omni_catalogue.snapshot import decode
from omni_launch.cli import cli

from tests.security.world import world
from tests.support.edge import serving


async def test_a_ban_holds_from_when_it_is_made_until_it_is_taken_back(tmp_path: Path) -> None:
    async with world(tmp_path) as made, serving(made.apps["dashboard"]) as port:
        file = tmp_path / "key"
        file.write_text(made.keys["admin"][0])

        async def bans(*words: str) -> Result:
            asked = ["bans", *words, "--url", f"http://127.0.0.1:{port}", "--key-file", str(file)]
            return await asyncio.to_thread(CliRunner().invoke, cli, asked)

        async def published() -> tuple[Ban, ...]:
            found = decode((await made.auth.configuration()).snapshot)
            made.edge.configure(found)
            return found.server.bans

        refused = await bans("add", "192.0.2.1")
        assert refused.exit_code != 0
        assert "adopt it first" in refused.output, "what a file says is changed there"
        async with made.client("dashboard") as client:
            headers = {"authorization": f"Bearer {made.keys['admin'][0]}"}
            assert (await client.post("/api/settings/settings/adopt", headers=headers)).status_code == 200

        assert (await bans("add", "2001:db8::/32", "--reason", "scanner")).exit_code == 0
        assert (await bans("add", "127.0.0.1", "--for", "1h")).exit_code == 0
        assert (await bans("add", "127.0.0.1/32", "--for", "2h")).exit_code == 0, "anew, not twice"
        network, own = await published()
        assert network == Ban(network="2001:db8::/32", reason="scanner")
        assert own.network == "127.0.0.1/32"
        listed = (await bans("list")).output
        assert "2001:db8::/32  for good  scanner" in listed
        assert "127.0.0.1/32  until 20" in listed
        async with made.client("edge") as client:
            assert (await client.get("/v1/models", headers=headers)).status_code == 403
            assert (await client.get("/healthz", headers=headers)).status_code == 200
            assert (await bans("remove", "127.0.0.1")).exit_code == 0
            await published()
            assert (await client.get("/v1/models", headers=headers)).status_code == 200
        assert (await bans("remove", "127.0.0.1")).exit_code == 1
        assert (await bans("add", "no address")).exit_code != 0
        assert (await bans("add", "192.0.2.1", "--for", "a while")).exit_code == 2
        assert [ban.network for ban in await published()] == ["2001:db8::/32"]
