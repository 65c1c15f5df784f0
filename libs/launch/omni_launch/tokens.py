"""The service token: the secret that every gRPC call between our own processes carries."""

from collections.abc import Mapping
from pathlib import Path

from omni_launch.data_dir import kept_secret
from omni_launch.problems import CannotStart


def service_token(env: Mapping[str, str], data_dir: Path) -> str:
    """``OMNIROUTE_SERVICE_TOKEN``, else the content of ``OMNIROUTE_SERVICE_TOKEN_FILE``, else DATA_DIR/service.token.

    The last is made (mode 0600) when it is not there, so processes that share a data directory share the token.
    Raises ``CannotStart``.
    """
    if token := env.get("OMNIROUTE_SERVICE_TOKEN", "").strip():
        return token
    if name := env.get("OMNIROUTE_SERVICE_TOKEN_FILE"):
        try:
            token = Path(name).read_text().strip()
        except OSError as error:
            raise CannotStart(
                f"cannot read OMNIROUTE_SERVICE_TOKEN_FILE {name}: {error.strerror}",
                "Make it with one long random line, readable by this user",
            ) from error
        if not token:
            raise CannotStart(f"OMNIROUTE_SERVICE_TOKEN_FILE {name} is empty", "Put one long random line in it")
        return token
    return kept_secret(data_dir / "service.token")
