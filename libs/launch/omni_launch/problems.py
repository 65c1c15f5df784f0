"""What a person must put right before omniroute can run."""


class CannotStart(Exception):
    """One clear line for the terminal; ``fix`` says what to do next. Never carries a secret."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}. {self.fix}" if self.fix else self.message
