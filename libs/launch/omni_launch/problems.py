"""What a person must put right before omniroute can run."""


class CannotStart(Exception):
    """One clear line for the terminal; ``fix`` says what to do next. Never carries a secret."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}. {self.fix}" if self.fix else self.message


def told(error: Exception) -> str:
    """An error as one line for the terminal, without a secret in it."""
    from omni_core.telemetry import redact
    from omni_wire.errors import GatewayError

    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, CannotStart | GatewayError):
        return redact(str(error))
    return redact(
        f"{type(error).__name__}: {str(error).strip() or 'no details given'}\n"
        "This should not happen. OMNIROUTE_LOG_LEVEL=DEBUG shows where; 'omniroute doctor' looks for the usual causes."
    )
