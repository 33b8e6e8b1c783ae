"""Whether the push services take us: each is asked with a push for a phone that cannot exist.

A push service says first what it thinks of who asks, then of the phone. So "no such phone" is the good
answer: key, topic and way are right, and nobody was disturbed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from wakerobin.core.delivery.advice import refused_key, service_down
from wakerobin.core.ids import Entropy, uuid_from
from wakerobin.core.pushes import (
    Accepted,
    Outcome,
    PayloadHead,
    PushMessage,
    PushType,
    Rejected,
    TargetGone,
    Throttled,
    Unavailable,
    notice_payload,
)
from wakerobin.core.story import duration
from wakerobin.core.values import Provider, Purpose, PushTarget, Secret
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import AppOptions
from wakerobin.ports.push import PushService

Json: TypeAlias = dict[str, Any]

PATIENCE_S: Final = 10.0
CLOCK_LIMIT: Final = 60_000
"""A clock that is further off is told, milliseconds."""

_NOBODY: Final[dict[Provider, str]] = {
    Provider.APNS: "0" * 64,
    Provider.FCM: "wakerobin-doctor",
    Provider.WEBHOOK: "wakerobin-doctor",
    Provider.ACROBITS: "wakerobin-doctor",
}
"""A token that no phone has. Web Push is left out: without a subscription there is nobody to ask."""

_NOBODYS_APP: Final[dict[Provider, str]] = {Provider.ACROBITS: "wakerobin.doctor"}
"""Where each target names its app, one that does not exist."""

_NO_SUBSCRIPTION: Final = (
    "The VAPID key is readable. Whether browsers know it shows the first push: without a subscription nobody "
    "can be asked."
)

_NO_SERVICE: Final = (
    "It has no push service, so no call wakes its phones: add [apps.{app}.apns] or that of another."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushChecks:
    """The push services of a configuration, to be asked. `service` finds one."""

    apps: Mapping[str, AppOptions]
    service: Callable[[str, Provider], PushService | None]
    clock_ahead: Callable[[], int | None]
    """By how many milliseconds our clock is ahead of a push service's, once one has told the time."""
    clock: Clock
    entropy: Entropy

    async def all(self, app: str = "") -> Json:
        """Ask each push service of one app, or of all; what is wrong comes with how it is mended."""
        wanted = [name for name in self.apps if app in ("", name)]
        found = [
            (name, provider, service)
            for name in wanted
            for provider in Provider
            if (service := self.service(name, provider)) is not None
        ]
        answers = await asyncio.gather(*(self._one(*one) for one in found))
        served = {name for name, _, _ in found}
        for name in wanted:
            if name not in served:
                answers.append(_finding(name, "", _NO_SERVICE.format(app=name), is_good=False))
        ahead = self.clock_ahead()
        if ahead is not None:
            answers.append(_clock(ahead))
        return {"checks": answers}

    async def _one(self, app: str, provider: Provider, service: PushService) -> Json:
        token = _NOBODY.get(provider)
        if token is None:
            return _finding(app, provider, _NO_SUBSCRIPTION, is_good=True)
        deadline = self.clock.monotonic() + PATIENCE_S
        outcome = await service.send(self._message(app, provider, token), deadline)
        text, is_good = _judged(app, provider, outcome)
        return _finding(app, provider, text, is_good=is_good)

    def _message(self, app: str, provider: Provider, token: str) -> PushMessage:
        now = self.clock.now()
        head = PayloadHead(
            id=uuid_from(self.entropy(16)),
            registration="pr_doctor",
            generation=0,
            sent_at=now,
            expires_at=now + round(PATIENCE_S * 1000),
            stage="active",
            life_expires_at=now,
        )
        return PushMessage(
            type=PushType.TEST,
            id=head.id,
            target=PushTarget(
                registration_id=0,
                provider=provider,
                purposes=frozenset({Purpose.CALL}),
                token=Secret(token),
                topic=_NOBODYS_APP.get(provider, ""),
                reported_at=now,
            ),
            app=app,
            payload=notice_payload(PushType.TEST, head),
            expires_at=head.expires_at,
        )


def _judged(app: str, provider: Provider, outcome: Outcome) -> tuple[str, bool]:
    match outcome:
        case Accepted():
            return "It took a test push.", True
        case TargetGone():
            return "It takes our pushes: of the made-up phone it says that there is none.", True
        case Rejected(reason=reason, ours=True):
            return refused_key(app, provider, reason), False
        case Rejected(reason=reason):
            return f"It refuses the test push: {reason}.", False
        case Throttled(reason=reason):
            return f"It is asked too often ({reason}); try again in a minute.", False
        case Unavailable(reason=reason):
            return service_down(app, provider, "", reason), False


def _clock(ahead: int) -> Json:
    if abs(ahead) < CLOCK_LIMIT:
        return _finding("", "clock", "It agrees with the push services'.", is_good=True)
    off = duration(round(abs(ahead) / CLOCK_LIMIT) * CLOCK_LIMIT)
    way = "ahead of" if ahead > 0 else "behind"
    text = (
        f"This machine's clock is {off} {way} the push services': set it, and let NTP keep "
        "it. Provider tokens are refused by it, and lives end at the wrong time."
    )
    return _finding("", "clock", text, is_good=False)


def _finding(app: str, provider: str, text: str, *, is_good: bool) -> Json:
    return {"app": app, "provider": str(provider), "good": is_good, "text": text}
