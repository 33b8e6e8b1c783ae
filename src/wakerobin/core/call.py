"""A call from the PBX to an account whose phones may sleep: held → waking → offered → answered, or not.

Driven by what arrives: phones, responses, outcomes of pushes, the caller's CANCEL, the user's decline, and
time. In memory only; `snapshot` and `resume` carry a ringing call over a restart of the server. All times
are monotonic seconds.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from wakerobin.core.sip import forking
from wakerobin.core.sip.forking import BranchState, ResponseContext
from wakerobin.core.sip.message import Message
from wakerobin.core.values import PhoneFlow

DECLINED = (600, 603)
"""A phone's "nobody here wants this call" (RFC 3261 21.6)."""


class CallState(enum.StrEnum):
    """The words of the API and of the design."""

    HELD = "held"
    WAKING = "waking"
    OFFERED = "offered"
    ANSWERED = "answered"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    MISSED = "missed"

    @property
    def is_over(self) -> bool:
        """Whether the call rings no more."""
        return self not in (CallState.HELD, CallState.WAKING, CallState.OFFERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPolicy:
    """Seconds and choices; see `[sip]` and `[apps.NAME]` in the configuration."""

    wake_timeout: float = 30.0
    ring_timeout: float = 120.0
    ringback: str = "pushed"
    live_flow: float = 15.0
    live_flow_answer: float = 1.0
    decline_all: bool = True
    decline_code: int = 486
    max_breadth: int = 60
    t1: float = 0.5


# Effects


@dataclass(frozen=True, slots=True)
class Push:
    """Send a call push to every call target of this push registration."""

    registration_id: int


@dataclass(frozen=True, slots=True)
class Offer:
    """Send the INVITE to a phone as a branch of its own (16.5: late branches are allowed)."""

    key: str
    phone: PhoneFlow
    breadth: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop a branch that had no provisional response; it may not be cancelled (9.1)."""

    key: str


@dataclass(frozen=True, slots=True)
class Ring:
    """Send our own 180 upstream."""


@dataclass(frozen=True, slots=True)
class Tell:
    """One event of the call's story."""

    event: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Save:
    """Store the call as it is now: what it waits for has changed."""


@dataclass(frozen=True, slots=True)
class Over:
    """The call rings no more. `answered_by`: the registration that took or declined it, 0 for none."""

    state: CallState
    reason: str
    answered_by: int = 0


Effect: TypeAlias = forking.Effect | Push | Offer | Abandon | Ring | Tell | Save | Over


@dataclass(slots=True)
class _Installation:
    """One phone, awake or not. Its key in the response context is that of its present branch."""

    name: str
    registration_id: int
    key: str
    phone: PhoneFlow | None = None
    is_pushed: bool = False
    """A push was handed over, or is on its way."""
    is_woken: bool = False
    """A push service took a push, so that it is known to have left."""
    push_at: float | None = None
    """When it is pushed although its flow looked alive."""
    wake_ends: float | None = None
    ring_ends: float | None = None


class IncomingCall:
    """One INVITE from the PBX."""

    def __init__(self, invite: Message, policy: CallPolicy, now: float) -> None:
        self.state = CallState.HELD
        self.began = now
        self._policy = policy
        self._breadth = forking.breadth_of(invite, policy.max_breadth)
        self._context = ResponseContext(breadth=self._breadth, t1=policy.t1)
        self._installations: dict[str, _Installation] = {}
        self._by_key: dict[str, str] = {}
        self._keys = 0
        self._phone_rang = False
        self._has_rung_itself = False
        self._needs_100rel = any(
            option.strip().lower() == "100rel"
            for value in invite.all("require")
            for option in value.split(",")
        )

    # What drives it

    def start(self, phones: Iterable[PhoneFlow], registrations: Iterable[int], now: float) -> list[Effect]:
        """Begin: INVITE to every flow, a push to every registration whose flow did not just prove itself."""
        effects: list[Effect] = []
        for registration_id in registrations:
            name = f"r{registration_id}"
            self._installations[name] = _Installation(
                name, registration_id, self._new_key(name), wake_ends=now + self._policy.wake_timeout
            )
        for phone in phones:
            effects += self._offer(phone, now)
        for installation in self._installations.values():
            effects += self._wake(installation, now)
        if self._policy.ringback == "immediate":
            effects += self._ring()
        return effects + self._run(self._context.settle(now), now)

    def phone_arrived(self, phone: PhoneFlow, now: float) -> list[Effect]:
        """A phone of the account registered with us: it gets the call, unless it has it already."""
        if self.state.is_over:
            return []
        known = self._installations.get(phone.installation)
        if known is not None and known.phone is not None:
            state = self._context.state(known.key)
            if known.phone.flow == phone.flow and state is not BranchState.FINAL:
                return []  # a refresh of the flow on which it rings
            if state is not BranchState.CALLING:
                return []  # it rings on its older flow, or has answered: never two branches that ring
        told = Tell("phone-connected", {"after_ms": _ms(now - self.began), "flow": str(phone.flow)})
        return [told, *self._offer(phone, now)]

    def receive(self, key: str, response: Message, now: float) -> list[Effect]:
        """Take a response of a phone."""
        installation = self._of_key(key)
        effects: list[Effect] = []
        if installation is not None and installation.key == key and not self.state.is_over:
            effects += self._progress(installation, response, now)
        if response.status in DECLINED and self._policy.decline_all and not self.state.is_over:
            by = installation.registration_id if installation else 0
            return effects + self._run(
                self._context.decline(self._policy.decline_code, "Declined", now, key), now, declined_by=by
            )
        return effects + self._run(self._context.receive(key, response, now), now)

    def branch_failed(self, key: str, reason: str, now: float) -> list[Effect]:
        """No response came, or the flow is dead. A phone that was pushed may still come on another flow."""
        installation = self._of_key(key)
        if installation is None or installation.key != key or self.state.is_over:
            return []
        told: list[Effect] = [Tell("flow-dead", {"reason": reason})]
        installation.phone = None
        if installation.registration_id and installation.wake_ends is None and reason != "timeout":
            # It rang and lost its connection (Wi-Fi to LTE): it may well come back.
            installation.wake_ends = now + self._policy.wake_timeout
        if (
            installation.registration_id
            and installation.wake_ends is not None
            and now < installation.wake_ends
        ):
            self._context.drop(key)
            installation.key = self._new_key(installation.name)
            self._context.wait(installation.key)
            installation.push_at = None
            return told + self._push_now(installation)
        return told + self._run(self._context.close(key, 480, "The phone's connection is dead", now), now)

    def push_settled(self, registration_id: int, *, accepted: bool, reason: str, now: float) -> list[Effect]:
        """A call push was accepted, or none of the registration's targets took one."""
        installation = self._installations.get(f"r{registration_id}")
        if installation is None or self.state.is_over:
            return []
        if accepted:
            installation.is_woken = True
            told = Tell("push-accepted", {"after_ms": _ms(now - self.began), "by": reason})
            ring = self._ring() if self._policy.ringback == "pushed" else []
            return [told, *ring, Save()]
        effects: list[Effect] = [Tell("push-failed", {"reason": reason})]
        installation.wake_ends = None
        if installation.phone is None:
            effects += self._run(self._context.close(installation.key, 480, reason, now), now)
        return effects

    def cancel(self, reason: str, now: float) -> list[Effect]:
        """The caller hung up (a CANCEL, or a BYE into our early dialog)."""
        return self._run(self._context.cancel(reason, now), now, cancelled=True, reason=reason)

    def decline(self, registration_id: int, *, everywhere: bool, status: int, now: float) -> list[Effect]:
        """The user declined by the API. `everywhere`: on all phones of the account."""
        if self.state.is_over:
            return []
        text = "Declined" if status != 486 else "Busy Here"
        if everywhere and self._policy.decline_all:
            effects = self._context.decline(status, text, now)
            return self._run(effects, now, declined_by=registration_id)
        installation = self._installations.get(f"r{registration_id}")
        if installation is None:
            return []
        installation.wake_ends = installation.push_at = None
        return self._run(
            self._context.close(installation.key, 486, text, now), now, declined_by=registration_id
        )

    @property
    def deadline(self) -> float | None:
        """When `on_timer` must be called next."""
        times = [self._context.deadline]
        if not self.state.is_over:
            for installation in self._installations.values():
                times += [installation.push_at, installation.wake_ends, installation.ring_ends]
        return min((t for t in times if t is not None), default=None)

    @property
    def is_finished(self) -> bool:
        """Whether nothing that can still arrive matters: the object may be forgotten."""
        return self._context.is_over

    def on_timer(self, now: float) -> list[Effect]:
        """Act on what is due. Calling it early does nothing."""
        effects: list[Effect] = []
        if not self.state.is_over:
            for installation in list(self._installations.values()):
                effects += self._installation_timer(installation, now)
        return effects + self._run(self._context.on_timer(now), now)

    def awaits(self, registration_id: int) -> bool:
        """Whether the call still rings for, or waits for, this registration."""
        return not self.state.is_over and f"r{registration_id}" in self._installations

    def registration_of(self, key: str) -> int:
        """Return the push registration of a branch, 0 for a phone without one."""
        installation = self._of_key(key)
        return installation.registration_id if installation else 0

    # Over a restart

    def snapshot(self) -> dict[str, Any]:
        """Return what `resume` needs beside the INVITE, as JSON."""
        return {
            "rung": self._has_rung_itself or self._phone_rang,
            "waiting": [i.registration_id for i in self._installations.values() if i.registration_id],
            "unpushed": [
                i.registration_id
                for i in self._installations.values()
                if i.registration_id
                and not i.is_woken
                and self._context.state(i.key) is not BranchState.FINAL
            ],
            "branches": [
                {
                    "key": i.key,
                    "installation": i.name,
                    "registration": i.registration_id,
                    "awake": self._context.state(i.key) is BranchState.PROCEEDING,
                }
                for i in self._installations.values()
                if i.phone is not None and self._context.state(i.key) is not BranchState.FINAL
            ],
        }

    def resume(self, snapshot: dict[str, Any], now: float) -> list[Effect]:
        """Go on after a restart; the branches that still exist were adopted before.

        Who was not pushed, or whose push nobody is known to have taken, is pushed now: its flow may be as
        dead as the one of a server that ended. The push is the same one, by its id.
        """
        self._has_rung_itself = bool(snapshot["rung"])
        for registration_id in snapshot["waiting"]:
            name = f"r{registration_id}"
            if name not in self._installations:
                waiting = _Installation(
                    name, registration_id, self._new_key(name), wake_ends=now + self._policy.wake_timeout
                )
                waiting.is_pushed = True
                self._installations[name] = waiting
                self._context.wait(waiting.key)
        if self.state is CallState.HELD:
            self.state = CallState.WAKING
        effects: list[Effect] = [Tell("resumed")]
        for installation in self._installations.values():
            installation.is_woken = installation.registration_id not in snapshot["unpushed"]
        awake = {branch["installation"] for branch in snapshot["branches"] if branch["awake"]}
        for registration_id in snapshot["unpushed"]:
            installation = self._installations[f"r{registration_id}"]
            if installation.phone is None or installation.name not in awake:
                installation.is_pushed = False
                installation.wake_ends = now + self._policy.wake_timeout
                effects += self._push_now(installation)
        return effects + self._run(self._context.settle(now), now)

    def adopt(self, key: str, name: str, phone: PhoneFlow, now: float) -> None:
        """Take a branch of before a restart for this installation's present one."""
        known = self._installations.get(name)
        if known is None:
            known = _Installation(name, phone.registration_id, key)
            self._installations[name] = known
        else:
            self._context.drop(known.key)
        known.key, known.phone, known.push_at = key, phone, None
        known.ring_ends = now + self._policy.ring_timeout
        self._by_key[key] = name
        self._context.resume(key)
        self.state = CallState.OFFERED

    # How it decides

    def _offer(self, phone: PhoneFlow, now: float) -> list[Effect]:
        name = phone.installation
        known = self._installations.get(name)
        effects: list[Effect] = []
        if known is None:
            known = _Installation(name, phone.registration_id, self._new_key(name))
            self._installations[name] = known
        elif known.phone is not None:
            effects.append(Abandon(known.key))
            self._context.drop(known.key)
            known.key = self._new_key(name)
        breadth = self._context.call(known.key)
        if breadth == 0:
            return effects + self._run(self._context.close(known.key, 440, "Max-Breadth Exceeded", now), now)
        known.phone = phone
        known.ring_ends = now + self._policy.ring_timeout
        self.state = CallState.OFFERED
        return [*effects, Offer(known.key, phone, breadth), Tell("offered", {"to": str(phone.flow)}), Save()]

    def _wake(self, installation: _Installation, now: float) -> list[Effect]:
        if not installation.registration_id:
            return []
        phone = installation.phone
        if phone is None:
            self._context.wait(installation.key)
            return self._push_now(installation)
        if now - phone.heard_at <= self._policy.live_flow:
            installation.push_at = now + self._policy.live_flow_answer
            return []
        return self._push_now(installation)

    def _push_now(self, installation: _Installation) -> list[Effect]:
        installation.push_at = None
        if installation.is_pushed or installation.wake_ends is None:
            return []
        installation.is_pushed = True
        if self.state is CallState.HELD:
            self.state = CallState.WAKING
        return [Push(installation.registration_id)]

    def _progress(self, installation: _Installation, response: Message, now: float) -> list[Effect]:
        installation.push_at = None  # the flow has proved itself
        if response.status == 100 or self._context.state(installation.key) is BranchState.FINAL:
            return []
        if response.status < 200:
            is_first = not self._phone_rang
            self._phone_rang = True
            installation.wake_ends = None
            return [Tell("ringing", {"after_ms": _ms(now - self.began)}), Save()] if is_first else []
        installation.wake_ends = installation.ring_ends = None
        if response.status >= 300:
            return [Tell("phone-refused", {"status": response.status, "reason": response.reason})]
        return []

    def _ring(self) -> list[Effect]:
        if self._phone_rang or self._has_rung_itself or self._needs_100rel or self.state.is_over:
            return []
        self._has_rung_itself = True
        return [Ring()]

    def _installation_timer(self, installation: _Installation, now: float) -> list[Effect]:
        if _due(installation.push_at, now):
            return self._push_now(installation)
        if _due(installation.wake_ends, now):
            installation.wake_ends = None
            if installation.phone is None or self._context.state(installation.key) is BranchState.CALLING:
                text = "No phone came within the wake timeout"
                return self._run(self._context.close(installation.key, 480, text, now), now)
        if _due(installation.ring_ends, now):
            installation.ring_ends = None
            return self._run(self._context.close(installation.key, 480, "Nobody answered", now), now)
        return []

    def _run(
        self,
        effects: Iterable[forking.Effect],
        now: float,
        *,
        cancelled: bool = False,
        declined_by: int | None = None,
        reason: str = "",
    ) -> list[Effect]:
        """Pass the context's effects on, and say what they mean for the call."""
        out: list[Effect] = []
        for effect in effects:
            if isinstance(effect, forking.Forward) and effect.response.status < 200:
                self._phone_rang = True
            out.append(effect)
        if cancelled and not self.state.is_over:
            self.state = CallState.CANCELLED
            return [*out, Tell("cancelled", {"reason": reason}), Over(self.state, reason or "Caller hung up")]
        has_crossed = self.state is CallState.CANCELLED and self._context.winner is not None
        if has_crossed or (self._context.final_status and not self.state.is_over):
            # An answer may cross the CANCEL and go upstream before our 487: then they talk.
            out += self._end(out, declined_by)
        return out

    def _end(self, effects: Iterable[Effect], declined_by: int | None) -> list[Effect]:
        status = self._context.final_status
        if self._context.winner is not None:
            self.state = CallState.ANSWERED
            by = self.registration_of(self._context.winner)
            return [Tell("answered", {"status": status}), Over(self.state, "", by)]
        text = _text(effects)
        if declined_by is not None:
            self.state = CallState.DECLINED
            return [Tell("declined", {"status": status}), Over(self.state, text, declined_by)]
        self.state = CallState.MISSED
        return [Tell("missed", {"status": status, "reason": text}), Over(self.state, text)]

    def _new_key(self, name: str) -> str:
        self._keys += 1
        key = f"b{self._keys}"
        self._by_key[key] = name
        return key

    def _of_key(self, key: str) -> _Installation | None:
        return self._installations.get(self._by_key.get(key, ""))


def _text(effects: Iterable[Effect]) -> str:
    for effect in effects:
        if isinstance(effect, forking.Answer):
            return effect.text
        if isinstance(effect, forking.Forward):
            return effect.response.reason or str(effect.response.status)
    return ""


def _due(at: float | None, now: float) -> bool:
    return at is not None and at <= now


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
