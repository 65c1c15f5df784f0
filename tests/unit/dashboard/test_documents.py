"""What OpenAPI says of the configuration's documents is what auth takes."""

from omni_auth.domain.entities import KINDS as AUTHS
from omni_dashboard.domain.kinds import KINDS
from omni_dashboard.server import documents

from tools.make_api_schemas import FILE, render


def test_the_schemas_are_what_auths_sections_say_today() -> None:
    assert FILE.read_text() == render(), "run make api-schemas"


def test_every_kind_of_auths_has_its_routes_and_its_schema() -> None:
    assert [kind.name for kind in KINDS] == list(AUTHS)
    assert set(documents.KINDS) == set(AUTHS)
