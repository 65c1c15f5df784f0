"""Which tests share a worker when several run them (``--dist loadgroup``).

A file is of one worker, so that what its tests share is started once. So is each shape of the gateway that most
end-to-end tests share, whatever file they are in. Files whose tests share nothing, and which take longest, are divided.
"""

GATEWAYS = ("gateway-all", "gateway-separate")
DIVIDED = {
    "tests/contract/test_idempotency.py",
    "tests/contract/test_router_formats.py",
    "tests/contract/test_up.py",
    "tests/security/test_short.py",
}


def group(nodeid: str) -> str:
    """What is of one worker: a gateway, a file, or one test of a file that is divided, with all its parameters."""
    for gateway in GATEWAYS:
        if gateway in nodeid:
            return gateway
    file = nodeid.partition("::")[0]
    return nodeid.partition("[")[0] if file in DIVIDED else file
