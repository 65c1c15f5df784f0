"""A subscription, for scripts that have one: so many requests of a key in a window, told as each vendor tells it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from omni_wire.errors import UpstreamRejected

from omni_simulator.script import Script

_WINDOW = 18_000
_WEEK = 604_800
_MOST = 4096
SPENT = "usage_limit_reached"


class Plan(msgspec.Struct):
    """``used`` of ``most`` since ``began``, by the first use (epoch seconds, 0: nobody has used it). A week has ten
    times as much."""

    most: int
    span: int
    used: int = 0
    began: float = 0.0
    week_used: int = 0
    week_began: float = 0.0

    def at(self, now: float) -> None:
        """Windows that are over have not begun anew."""
        if now >= self.began + self.span:
            self.used, self.began = 0, 0.0
        if now >= self.week_began + _WEEK:
            self.week_used, self.week_began = 0, 0.0

    def use(self, now: float) -> None:
        self.used, self.began = self.used + 1, self.began or now
        self.week_used, self.week_began = self.week_used + 1, self.week_began or now

    @property
    def share(self) -> float:
        return min(1.0, self.used / self.most)

    @property
    def week_share(self) -> float:
        return min(1.0, self.week_used / (10 * self.most))

    @property
    def ends(self) -> int:
        return int(self.began + self.span) if self.began else 0

    @property
    def week_ends(self) -> int:
        return int(self.week_began + _WEEK) if self.week_began else 0


class Plans:
    """By key. ``said`` is what a usage address answers instead, by its path: a status and a body."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self.said: dict[str, tuple[int, bytes]] = {}

    def clear(self) -> None:
        self._plans.clear()

    def of(self, key: str, script: Script, now: float) -> Plan | None:
        """None where the script has no plan."""
        if script.plan is None:
            return None
        if key not in self._plans and len(self._plans) >= _MOST:
            self._plans.clear()
        span = _WINDOW if script.plan_for is None else script.plan_for
        plan = self._plans.setdefault(key, Plan(script.plan, span))
        plan.most, plan.span = script.plan, span
        plan.at(now)
        return plan

    def take(self, key: str, script: Script, now: float) -> Plan | None:
        """Count a request at ``now``. Raises ``UpstreamRejected`` (429) where nothing is left."""
        plan = self.of(key, script, now)
        if plan is not None:
            if plan.used >= plan.most:
                wait = max(1, plan.ends - int(now))
                raise UpstreamRejected(f"the usage limit is reached; try again in {wait}s", status=429, code=SPENT)
            plan.use(now)
        return plan


def headers(plan: Plan, anthropic: bool, now: float) -> bytes:
    """Lines of a head."""
    if anthropic:
        said = {
            "anthropic-ratelimit-unified-5h-utilization": f"{plan.share:.4f}",
            "anthropic-ratelimit-unified-5h-reset": plan.ends,
            "anthropic-ratelimit-unified-7d-utilization": f"{plan.week_share:.4f}",
            "anthropic-ratelimit-unified-7d-reset": plan.week_ends,
        }
    else:
        said = {
            "x-codex-primary-used-percent": f"{plan.share * 100:.2f}",
            "x-codex-primary-reset-after-seconds": max(0, plan.ends - int(now)),
            "x-codex-secondary-used-percent": f"{plan.week_share * 100:.2f}",
            "x-codex-secondary-reset-after-seconds": max(0, plan.week_ends - int(now)),
        }
    return "".join(f"{name}: {value}\r\n" for name, value in said.items()).encode()


# ---- what the usage addresses answer --------------------------------------------------------------------------------


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _claude_code(plan: Plan) -> Any:
    return {
        "five_hour": {"utilization": round(plan.share * 100, 2), "resets_at": _iso(plan.ends) if plan.ends else None},
        "seven_day": {
            "utilization": round(plan.week_share * 100, 2),
            "resets_at": _iso(plan.week_ends) if plan.week_ends else None,
        },
        "seven_day_opus": None,
    }


def _codex(plan: Plan) -> Any:
    return {
        "plan_type": "team",
        "rate_limit": {
            "allowed": plan.share < 1,
            "limit_reached": plan.share >= 1,
            "primary_window": {
                "used_percent": round(plan.share * 100), "limit_window_seconds": plan.span, "reset_at": plan.ends,
            },
            "secondary_window": {
                "used_percent": round(plan.week_share * 100), "limit_window_seconds": _WEEK, "reset_at": plan.week_ends,
            },
        },
    }  # fmt: skip


def _copilot(plan: Plan) -> Any:
    left = plan.most - plan.used
    return {
        "copilot_plan": "individual_pro",
        "quota_reset_date": _iso(plan.ends)[:10],
        "quota_reset_date_utc": _iso(plan.ends),
        "quota_snapshots": {
            "chat": {"entitlement": 0, "remaining": 0, "unlimited": True},
            "premium_interactions": {
                "entitlement": plan.most, "remaining": left, "percent_remaining": 100 - plan.share * 100,
                "unlimited": False,
            },
        },
    }  # fmt: skip


def _gemini_cli(plan: Plan) -> Any:
    left = 1 - plan.share
    bucket = {"modelId": "gemini-2.5-pro", "remainingFraction": left, "resetTime": _iso(plan.ends)}
    return {"buckets": [bucket | {"remainingAmount": str(plan.most - plan.used), "tokenType": "REQUESTS"}]}


def _antigravity(plan: Plan) -> Any:
    info = {"remainingFraction": 1 - plan.share, "resetTime": _iso(plan.ends)}
    return {"models": {"gemini-3-pro": {"displayName": "Gemini 3 Pro", "quotaInfo": info}}}


def _kiro(plan: Plan) -> Any:
    return {
        "nextDateReset": plan.ends,
        "subscriptionInfo": {"subscriptionTitle": "KIRO PRO"},
        "usageBreakdownList": [
            {
                "resourceType": "CREDIT",
                "currentUsageWithPrecision": float(plan.used),
                "usageLimitWithPrecision": float(plan.most),
            }
        ],
    }


def _glm(plan: Plan) -> Any:
    tokens = {
        "type": "TOKENS_LIMIT", "unit": 3, "number": 5, "percentage": round(plan.share * 100),
        "nextResetTime": plan.ends * 1000,
    }  # fmt: skip
    return {"code": 200, "success": True, "data": {"level": "pro", "limits": [tokens]}}


def _kimi(plan: Plan) -> Any:
    detail = {"limit": str(plan.most), "remaining": str(plan.most - plan.used), "resetTime": _iso(plan.ends)}
    week = {"limit": str(10 * plan.most), "used": str(plan.week_used), "resetTime": _iso(plan.week_ends)}
    return {
        "usage": week,
        "limits": [{"window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"}, "detail": detail}],
        "user": {"membership": {"level": "LEVEL_INTERMEDIATE"}},
    }


def _minimax(plan: Plan) -> Any:
    left = plan.most - plan.used
    return {
        "base_resp": {"status_code": 0, "status_msg": "success"},
        "model_remains": [
            {
                "model_name": "MiniMax-M2",
                "start_time": int(plan.began) * 1000,
                "end_time": plan.ends * 1000,
                "current_interval_total_count": plan.most,
                "current_interval_usage_count": left,
            }
        ],
    }


def _openrouter(plan: Plan) -> Any:
    left = plan.most - plan.used
    return {"data": {"label": "sk-or", "usage": plan.used, "limit": plan.most, "limit_remaining": left}}


# By path: the method, and what is answered.
ADDRESSES: dict[str, tuple[bytes, Callable[[Plan], Any]]] = {
    "/api/oauth/usage": (b"GET", _claude_code),
    "/backend-api/wham/usage": (b"GET", _codex),
    "/copilot_internal/user": (b"GET", _copilot),
    "/v1internal:retrieveUserQuota": (b"POST", _gemini_cli),
    "/v1internal:fetchAvailableModels": (b"POST", _antigravity),
    "/usage-limits": (b"POST", _kiro),
    "/api/monitor/usage/quota/limit": (b"GET", _glm),
    "/coding/v1/usages": (b"GET", _kimi),
    "/v1/api/openplatform/coding_plan/remains": (b"GET", _minimax),
    "/api/v1/key": (b"GET", _openrouter),
}
