"""How people may log in beside their passwords."""

from typing import Annotated

from omni_catalogue.roles import OWNER, ROLES, SERVICE
from pydantic import BeforeValidator

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Flag, Name, Secret, Section, Text

# Whoever owns an organisation is told here, and not by a provider's word.
_Role = Annotated[str, BeforeValidator(scalars.one_of(tuple(role for role in ROLES if role not in (OWNER, SERVICE))))]


def _issuer(value: object) -> str:
    """As it stands in tokens, to the letter: some end with a slash."""
    word = scalars.text(value)
    scalars.base_url(word.removesuffix("/"))
    return word


class GroupSection(Section):
    group: Text
    role: _Role


class OidcSection(Section):
    """An OpenID provider. ``provision`` makes a login for whoever it names; without it only those come in who were
    invited. ``roles`` are by its groups, ``role`` is for who is in none of them."""

    id: Name
    title: str = ""
    issuer: Annotated[str, BeforeValidator(_issuer)]
    client_id: Text
    client_secret: Secret
    scopes: tuple[Text, ...] = ("openid", "email", "profile")
    allowed_domains: tuple[Text, ...] = ()
    organisation: Name = "default"
    provision: Flag = False
    role: _Role = "viewer"
    groups_claim: Text = "groups"
    roles: tuple[GroupSection, ...] = ()
    allow_private_address: Flag = False


class LoginsSection(Section):
    oidc: tuple[OidcSection, ...] = ()
