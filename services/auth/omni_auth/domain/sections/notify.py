"""Webhooks that are told when a limit comes to a percentage."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Flag, Name, Secret, Section

MOST_WEBHOOKS = 16
_MOST_PERCENT = 1000  # as a limit's ``warn``


class WebhookSection(Section):
    """As ``omni_catalogue.notify.Webhook``."""

    name: Name
    url: Annotated[str, BeforeValidator(scalars.webhook_url)]
    secret: Secret
    organisation: Annotated[str, BeforeValidator(scalars.text)] = ""
    percents: tuple[Annotated[int, BeforeValidator(scalars.whole(1, _MOST_PERCENT))], ...] = ()
    allow_private_address: Flag = False


class NotifySection(Section):
    webhooks: Annotated[tuple[WebhookSection, ...], Field(max_length=MOST_WEBHOOKS)] = ()
