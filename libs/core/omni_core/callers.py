"""Which services may make which call: one table, asked by every listener. A call that is not in it is refused.

Credentials of accounts go to those that call providers, secrets of webhooks to who tells them; keys are made by the
management surface alone. A process that runs several services may do what any of them may.
"""

from collections.abc import Iterable, Mapping

from omni_catalogue import notify

_PORTS: dict[str, dict[str, tuple[str, ...]]] = {
    "omniroute.router.v1.RouterPort": {
        "Complete": ("edge", "dashboard"),
        "Models": ("edge", "dashboard"),
        "CountTokens": ("edge", "dashboard"),
        "Explain": ("dashboard",),
        "TestAccount": ("dashboard",),
        "TestProxy": ("dashboard",),
    },
    "omniroute.translator.v1.TranslatorPort": {
        "EncodeRequest": ("router", "dashboard"),
        "TranslateStream": ("router", "dashboard"),
    },
    "omniroute.auth.v1.AuthPort": {
        "Authenticate": ("edge", "dashboard"),
        "Credential": ("router", "quota", "analytics"),
        "RefreshCredential": ("router", "quota"),
        "BeginLogin": ("dashboard",),
        "FinishLogin": ("dashboard",),
        "PollLogin": ("dashboard",),
        "ImportLogin": ("dashboard",),
        "ListLogins": ("dashboard",),
        "ForgetLogin": ("dashboard",),
        "RefreshLogin": ("dashboard",),
        "Configuration": ("edge", "dashboard"),
        "CreateKey": ("dashboard",),
        "ListKeys": ("dashboard",),
        "RotateKey": ("dashboard",),
        "RevokeKey": ("dashboard",),
        "ListObjects": ("dashboard",),
        "GetObject": ("dashboard",),
        "PutObject": ("dashboard",),
        "DeleteObject": ("dashboard",),
        "AdoptObject": ("dashboard",),
        "ApplyConfiguration": ("dashboard",),
        "ExportConfiguration": ("dashboard",),
        "ListAudit": ("dashboard",),
        "VerifyAudit": ("dashboard",),
        "RecordAudit": ("dashboard",),
    },
    "omniroute.auth.v1.PeoplePort": dict.fromkeys(
        (
            "Options",
            "LogIn",
            "Who",
            "Look",
            "Redeem",
            "ListSessions",
            "EndSessions",
            "ChangePassword",
            "BeginTotp",
            "ConfirmTotp",
            "RemoveTotp",
            "ListPeople",
            "Invite",
            "ChangePerson",
            "ResetPerson",
            "RemovePerson",
            "BeginOidc",
            "FinishOidc",
        ),
        ("dashboard",),
    ),
    "omniroute.quota.v1.QuotaPort": {
        "Snapshot": ("dashboard", "router"),
        "Reset": ("dashboard",),
        "ForgetRates": ("dashboard",),
        "RefreshQuota": ("dashboard",),
    },
    "omniroute.analytics.v1.AnalyticsPort": {
        "Query": ("dashboard",),
        "Breakdown": ("dashboard",),
        "Listed": ("dashboard",),
        "Live": ("dashboard",),
        "KeyUse": ("dashboard",),
        "LimitEvents": ("dashboard",),
        "Standing": ("dashboard",),
        "FindRequest": ("dashboard",),
        "Reprice": ("dashboard",),
        "Charges": ("dashboard",),
        "Statement": ("dashboard",),
        "DeadLetters": ("dashboard",),
        "Redrive": ("dashboard",),
        "Discard": ("dashboard",),
        "Bodies": ("dashboard",),
        "ForgetBodies": ("dashboard",),
    },
}

# As gRPC names a call, "/omniroute.auth.v1.AuthPort/Credential".
CALLERS: Mapping[str, frozenset[str]] = {
    f"/{port}/{method}": frozenset(callers) for port, methods in _PORTS.items() for method, callers in methods.items()
}
# What ``Credential`` and ``RefreshCredential`` give to whom: by what an id begins with, "" for all others.
_SECRETS: dict[str, tuple[str, ...]] = {notify.PREFIX: ("analytics",), "": ("router", "quota")}


def may_have(services: Iterable[str], account_id: str) -> bool:
    """Whether a process of these services may have the secret of that id."""
    allowed = next(callers for prefix, callers in _SECRETS.items() if account_id.startswith(prefix))
    return not set(allowed).isdisjoint(services)


NOBODY: frozenset[str] = frozenset()
