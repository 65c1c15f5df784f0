"""What all sections have in common, and the scalars and secrets that they are made of."""

from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars

SOURCES = ("env", "file", "value", "vault")
Flag = Annotated[bool, BeforeValidator(scalars.flag)]
Name = Annotated[str, BeforeValidator(scalars.name)]
Text = Annotated[str, BeforeValidator(scalars.text)]
Tag = Annotated[str, BeforeValidator(scalars.tag)]
Tokens = Annotated[int, BeforeValidator(scalars.whole(1, 1_000_000_000))]
Seconds = Annotated[float, BeforeValidator(scalars.seconds)]
Network = Annotated[str, BeforeValidator(scalars.network)]
Usd = Annotated[int, BeforeValidator(scalars.usd)]  # nano-USD


class SecretSource(msgspec.Struct, frozen=True):
    """Where a secret is: ``kind`` is "env", "file" or "value", ``where`` the variable, the path or the secret.
    ``kind`` "vault" says that it is sealed in the store, "none" that there is none to be had."""

    kind: str
    where: str

    def __repr__(self) -> str:
        return f"SecretSource({self.kind})"


def secret_source(value: object) -> SecretSource:
    """Read ``{env: NAME}``, ``{file: PATH}`` or ``{value: TEXT}``. What else is written there is never repeated."""
    if isinstance(value, dict) and len(value) == 1:
        kind, where = next(iter(value.items()))
        if kind in SOURCES and isinstance(where, str) and where:
            return SecretSource(kind, where)
    message = "must be exactly one of {env: NAME}, {file: PATH} and {value: TEXT}"
    raise PydanticCustomError("omniroute", "{message}", {"message": message})


def optional_source(value: object) -> SecretSource:
    """As ``secret_source``, or the word ``none``: said, not left out, so that a forgotten key is still told."""
    if value == "none":
        return SecretSource("none", "")
    try:
        return secret_source(value)
    except PydanticCustomError as error:
        message = f"{error.message()}, or none for a provider that asks for no key"
        raise PydanticCustomError("omniroute", "{message}", {"message": message}) from None


def account_key(value: object, info: ValidationInfo) -> SecretSource:
    """As ``optional_source``; none, too, for an account that is logged in to."""
    if value is not None:
        return optional_source(value)
    if not info.data.get("login"):
        raise PydanticCustomError("missing", "is required")
    return SecretSource("none", "")


Secret = Annotated[SecretSource, PlainValidator(secret_source)]
OptionalSecret = Annotated[SecretSource, PlainValidator(optional_source)]
AccountSecret = Annotated[SecretSource, PlainValidator(account_key)]


class Section(BaseModel):
    """A mapping with known keys. A key without a value counts as left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise PydanticCustomError("omniroute", "must be a mapping of keys to values")
        return {key: item for key, item in value.items() if item is not None or key not in cls.model_fields}
