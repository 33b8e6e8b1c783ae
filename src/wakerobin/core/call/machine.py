"""The machine of one INVITE from the PBX.

Driven by what arrives: phones, responses, outcomes of pushes, the caller's CANCEL, the user's decline, and
time. In memory only; `snapshot` and `resume` carry a ringing call over a restart of the server. All times
are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from wakerobin.core.call.effects import (
    Abandon,
    Effect,
    Follow,
    Offer,
    Over,
    Push,
    Recall,
    Repeat,
    Ring,
    Save,
    Tell,
)
from wakerobin.core.call.installation import Installation, is_same_way
from wakerobin.core.call.values import CallPolicy, CallState
from wakerobin.core.sdp import Offer as MediaOffer
from wakerobin.core.sdp import read_offer
from wakerobin.core.sip import forking
from wakerobin.core.sip.forking import BranchState, ResponseContext
from wakerobin.core.sip.header import reason_value
from wakerobin.core.sip.message import Message
from wakerobin.core.values import PhoneFlow

DECLINED = (600, 603)
"""A phone's "nobody here wants this call" (RFC 3261 21.6)."""

RING_AGAIN_S = 60.0
"""How often our own 180 is repeated (13.3.1.1)."""

TIMER_C_S = 180.0

NO_WEBRTC = "The phone is a browser and the offer has no DTLS-SRTP with ICE"


class IncomingCall:
    """One INVITE from the PBX. `began` is when it came, also where that was before a restart."""

    def __init__(self, invite: Message, policy: CallPolicy, began: float) -> None:
        self.state = CallState.HELD
        self.began = began
        self._policy = policy
        self._context = ResponseContext(breadth=forking.breadth_of(invite, policy.max_breadth), t1=policy.t1)
        self._installations: dict[str, Installation] = {}
        self._by_key: dict[str, str] = {}
        self._ways: dict[str, PhoneFlow] = {}
        """Where each branch was last sent to."""
        self._arrived: dict[str, PhoneFlow] = {}
        """Where each installation was last heard of, by name."""
        self._keys = 0
        self._phone_rang = False
        self._has_rung_itself = False
        self._ring_again: float | None = None
        self._cancelled = ""
        self._body = invite.body
        self._offer_read: MediaOffer | None = None
        self._needs_100rel = any(option.lower() == "100rel" for option in invite.values("require"))

    # What drives it

    def start(
        self,
        phones: Iterable[PhoneFlow],
        registrations: Iterable[int],
        now: float,
        browsers: Container[int] = (),
    ) -> list[Effect]:
        """Begin: INVITE to every flow, a push to every registration whose flow did not just prove itself.

        `browsers`: the registrations whose phones can only be browsers. What they cannot take, wakes none.
        """
        effects: list[Effect] = []
        phones = list(phones)
        for registration_id in registrations:
            known = self._new_installation(f"r{registration_id}", registration_id)
            known.can_wake, known.wake_ends = True, now + self._policy.wake_timeout
        for phone in phones:  # all of them first: no refusal below may speak for those that come after it
            if phone.installation not in self._installations:
                self._new_installation(phone.installation, phone.registration_id)
        for phone in phones:
            effects += self._offer(phone, now)
        for installation in list(self._installations.values()):
            if installation.registration_id in browsers and not installation.is_done:
                effects += self._refuse_media(installation, now)
        for installation in self._installations.values():
            effects += self._wake(installation, now)
        if self._policy.ringback == "immediate" and self._installations:
            effects += self._ring(now)
        return effects + self._run(self._context.settle(now), now)

    def phone_arrived(self, phone: PhoneFlow, now: float) -> list[Effect]:
        """A phone of the account registered with us: it gets the call, unless it has it already."""
        known = self._installations.get(phone.installation)
        self._arrived[phone.installation] = phone
        recalls = self._recalls(phone)
        if self.state.is_over or self._context.is_closing:
            return recalls
        if known is not None:
            state = self._context.state(known.key)
            if known.is_done or self._context.unanswered_cancel(known.key):
                return recalls
            if state is BranchState.PROCEEDING:
                return [*recalls, *self._follow(known, phone)]  # never two branches that ring
            if state is BranchState.CALLING and is_same_way(known.phone, phone):
                return [] if phone.flow.transport.is_reliable else [Repeat(known.key)]
        told = Tell("phone-connected", {"after_ms": _ms(now - self.began), "flow": str(phone.flow)})
        effects = self._offer(phone, now)
        # It woke. How long it may be silent now is for its INVITE's own timer B.
        self._installations[phone.installation].wake_ends = None
        return [*recalls, told, *effects]

    def receive(self, key: str, response: Message, now: float) -> list[Effect]:
        """Take a response of a phone."""
        installation = self._of_key(key)
        effects: list[Effect] = []
        if installation is not None and installation.key == key and not self.state.is_over:
            effects += self._progress(installation, response, now)
        if response.status not in DECLINED or self.state.is_over:
            effects += self._run(self._context.receive(key, response, now), now)
            where = self._arrived.get(self._by_key.get(key, ""))
            return effects if where is None else [*effects, *self._recalls(where)]
        by = installation.registration_id if installation else 0
        if self._policy.decline_all:
            ends = self._context.decline(self._policy.decline_code, "Declined", now, key)
        else:
            # A 6xx would speak for all phones (16.7 step 5), the desk phone at the PBX too.
            response = response.copy()
            response.status, response.reason = min(self._policy.decline_code, 599), "Declined"
            ends = self._context.receive(key, response, now)
        return effects + self._run(ends, now, declined_by=by)

    def branch_failed(self, key: str, reason: str, now: float) -> list[Effect]:
        """No response came, or the flow is dead. A phone that was pushed may still come on another flow."""
        installation = self._of_key(key)
        if installation is None or installation.key != key or self.state.is_over:
            return []
        if self._context.state(key) is BranchState.FINAL:
            return []
        told: list[Effect] = [Tell("flow-dead", {"reason": reason})]
        installation.phone = installation.ring_ends = None
        if installation.can_wake and installation.wake_ends is None and reason != "timeout":
            # It rang and lost its connection (Wi-Fi to LTE): it may well come back.
            installation.wake_ends = now + self._policy.wake_timeout
        if installation.can_wake and installation.wake_ends is not None and now < installation.wake_ends:
            self._context.drop(key)
            installation.key = self._new_key(installation.name)
            self._context.wait(installation.key)
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
            ring = self._ring(now) if self._policy.ringback == "pushed" else []
            return [told, *ring, Save()]
        effects: list[Effect] = [Tell("push-failed", {"reason": reason})]
        installation.wake_ends = None
        if installation.phone is None:
            effects += self._run(self._context.close(installation.key, 480, reason, now), now)
        return effects

    def cancel(self, reason: str, now: float) -> list[Effect]:
        """The caller hung up (a CANCEL, or a BYE into our early dialog)."""
        self._cancelled = reason
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
        installation.is_done = True
        installation.wake_ends = installation.push_at = installation.ring_ends = None
        closed = self._context.close(installation.key, status if status < 600 else 486, text, now)
        return [*self._run(closed, now, declined_by=registration_id), Save()]

    @property
    def offer(self) -> MediaOffer:
        """What the INVITE says of the media; read once, when somebody asks."""
        if self._offer_read is None:
            self._offer_read = read_offer(self._body)
        return self._offer_read

    @property
    def deadline(self) -> float | None:
        """When `on_timer` must be called next."""
        times = [self._context.deadline]
        if not self.state.is_over:
            times.append(self._ring_again)
            for installation in self._installations.values():
                times += [installation.push_at, installation.wake_ends, installation.ring_ends]
        return min((t for t in times if t is not None), default=None)

    @property
    def is_answered_for(self) -> bool:
        """Whether the PBX has its final response: a restart has nothing to go on with."""
        return self._context.final_status != 0

    @property
    def is_finished(self) -> bool:
        """Whether nothing that can still arrive matters: the object may be forgotten."""
        return self._context.is_over

    def on_timer(self, now: float) -> list[Effect]:
        """Act on what is due. Calling it early does nothing."""
        effects: list[Effect] = []
        for installation in list(self._installations.values()):
            if not self.state.is_over:
                effects += self._installation_timer(installation, now)
        if _due(self._ring_again, now) and not self.state.is_over:
            self._ring_again = now + RING_AGAIN_S
            effects.append(Ring(is_first=False))
        return effects + self._run(self._context.on_timer(now), now)

    def awaits(self, registration_id: int) -> bool:
        """Whether the call still rings for, or waits for, this registration."""
        return not self.state.is_over and f"r{registration_id}" in self._installations

    # Over a restart, and other surprises

    def snapshot(self) -> dict[str, Any]:
        """Return what `resume` needs beside the INVITE, as JSON; seconds count from the call's beginning."""
        waiting, branches, done = [], [], []
        for one in self._installations.values():
            state = self._context.state(one.key)
            if one.is_done or state is BranchState.FINAL:
                status, text = self._context.outcome(one.key)
                final = {"status": status, "text": text, "is_done": one.is_done}
                done.append({"installation": one.name, "registration": one.registration_id, **final})
                continue
            kept = {"installation": one.name, "registration": one.registration_id, "is_woken": one.is_woken}
            if one.phone is None:
                waiting.append({**kept, "ends": self._since(one.wake_ends)})
            else:
                answers = {"key": one.key, "answers": state is BranchState.PROCEEDING}
                branches.append({**kept, **answers, "ends": self._since(one.ring_ends)})
        cancelled = self._cancelled if self.state is CallState.CANCELLED else None
        rung = {"rung": self._has_rung_itself, "phone_rang": self._phone_rang, "cancelled": cancelled}
        return {**rung, "waiting": waiting, "branches": branches, "done": done}

    def adopt(self, kept: Mapping[str, Any], phone: PhoneFlow) -> None:
        """Take up a branch of a snapshot whose phone answers; to be called before `resume`."""
        known = self._new_installation(kept["installation"], kept["registration"], key=kept["key"])
        known.phone, known.ring_ends = phone, self.began + kept["ends"]
        self._ways[known.key] = phone
        known.is_pushed = True
        self._context.resume(known.key)
        self.state = CallState.OFFERED

    def resume(self, snapshot: Mapping[str, Any], registrations: Container[int], now: float) -> list[Effect]:
        """Go on after a restart, with the time that is left; the branches that go on were adopted before.

        Every other phone is waited for like one that sleeps. Whose push nobody is known to have taken, is
        pushed now: its flow may be as dead as that of a server that ended. By its id the push is the same.
        """
        effects: list[Effect] = [Tell("resumed")]
        for kept in [*snapshot["waiting"], *snapshot["branches"]]:
            known = self._installations.get(kept["installation"])
            can_wake = kept["registration"] in registrations
            if known is None and not can_wake and "key" not in kept:
                continue  # its push registration has ended meanwhile
            if known is None:
                known = self._new_installation(kept["installation"], kept["registration"])
                known.wake_ends = min(self.began + kept["ends"], now + self._policy.wake_timeout)
                known.is_pushed = kept["is_woken"] or known.wake_ends <= now
            known.is_woken = kept["is_woken"]
            known.can_wake = can_wake
            effects += self._push_now(known)
        for kept in snapshot["done"]:
            known = self._new_installation(kept["installation"], kept["registration"])
            known.is_done = kept["is_done"]
            effects += self._run(self._context.close(known.key, kept["status"], kept["text"], now), now)
        self._has_rung_itself, self._phone_rang = snapshot["rung"], snapshot["phone_rang"]
        if self._has_rung_itself and not self._phone_rang:
            self._ring_again = self._ringing_again_at(now)
        if self.state is CallState.HELD:
            self.state = CallState.WAKING
        effects += self._run(self._context.settle(now), now)
        if snapshot["cancelled"] is not None:
            effects += self.cancel(snapshot["cancelled"], now)
        return effects

    def take_back(self, key: str, phone: PhoneFlow, status: int, now: float) -> list[Effect] | None:
        """A phone answers, by `status`, a branch of it that was abandoned, or of before a restart.

        None: that changes nothing. Else the branch is one of the call's from now on, under `key`.
        """
        known = self._installations.get(phone.installation)
        self._ways[key] = self._arrived[phone.installation] = phone
        state = self._context.state(known.key) if known is not None else BranchState.WAITING
        is_decided = self._context.is_closing or (known is not None and known.is_done)
        if is_decided or state is BranchState.PROCEEDING:
            if status >= 300:
                return None  # it has the call already: that it refuses the older copy is no news
            self._by_key[key] = phone.installation
            if status < 200:  # it rings for a call that is over, or twice for the same one
                return [*self._context.refuse(key, self._reason_to_end(known))]
            self._context.resume(key)
            return []
        if status >= 300 and state is not BranchState.WAITING:
            return None
        effects: list[Effect] = []
        if known is None:
            known = self._new_installation(phone.installation, phone.registration_id, key=key)
        elif state is not BranchState.FINAL:
            if state is BranchState.CALLING:
                effects.append(Abandon(known.key))
            self._context.drop(known.key)
        known.key, known.phone, known.wake_ends = key, phone, None
        known.ring_ends = now + self._policy.ring_timeout
        self._by_key[key] = known.name
        self._context.resume(key)
        self.state = CallState.OFFERED
        return effects

    # How it decides

    def _follow(self, known: Installation, phone: PhoneFlow) -> list[Effect]:
        if is_same_way(known.phone, phone):
            return []
        known.phone = self._ways[known.key] = phone
        return [Tell("phone-moved", {"to": str(phone.flow)}), Follow(known.key, phone), Save()]

    def _recalls(self, phone: PhoneFlow) -> list[Effect]:
        """A phone has moved: what was cancelled on its older way may ring on yet."""
        recalls: list[Effect] = []
        for key, name in self._by_key.items():
            reason = self._context.unanswered_cancel(key) if name == phone.installation else ""
            if reason and not is_same_way(self._ways.get(key), phone):
                self._ways[key] = phone
                recalls.append(Recall(key, phone, reason))
        return recalls

    def _offer(self, phone: PhoneFlow, now: float) -> list[Effect]:
        name = phone.installation
        known = self._installations.get(name)
        effects: list[Effect] = []
        if known is None:
            known = self._new_installation(name, phone.registration_id)
        elif (state := self._context.state(known.key)) is not BranchState.WAITING:
            if state is BranchState.CALLING:
                effects.append(Abandon(known.key))
                self._context.drop(known.key)
            known.key = self._new_key(name)
            self._context.wait(known.key)
        if phone.flow.transport.is_websocket and not self.offer.fits_browsers:
            return effects + self._refuse_media(known, now)
        breadth = self._context.call(known.key)
        if breadth == 0:
            return effects + self._run(self._context.close(known.key, 440, "Max-Breadth Exceeded", now), now)
        known.phone = self._ways[known.key] = phone
        known.ring_ends = now + self._policy.ring_timeout
        self.state = CallState.OFFERED
        return [*effects, Offer(known.key, phone, breadth), Tell("offered", {"to": str(phone.flow)}), Save()]

    def _refuse_media(self, installation: Installation, now: float) -> list[Effect]:
        """End the branch of a browser that could only answer a call without sound."""
        if self.offer.fits_browsers:
            return []
        installation.is_done, installation.can_wake = True, False
        installation.wake_ends = installation.push_at = None
        closed = self._run(self._context.close(installation.key, 488, NO_WEBRTC, now), now)
        return [Tell("browser-unfit"), *closed]

    def _wake(self, installation: Installation, now: float) -> list[Effect]:
        phone = installation.phone
        if phone is not None and now - phone.heard_at <= self._policy.live_flow:
            installation.push_at = now + self._policy.live_flow_answer
            return []
        return self._push_now(installation)

    def _push_now(self, installation: Installation) -> list[Effect]:
        installation.push_at = None
        if installation.is_pushed or not installation.can_wake:
            return []
        installation.is_pushed = True
        if self.state is CallState.HELD:
            self.state = CallState.WAKING
        return [Push(installation.registration_id)]

    def _progress(self, installation: Installation, response: Message, now: float) -> list[Effect]:
        installation.push_at = None  # the flow has proved itself
        if response.status == 100 or self._context.state(installation.key) is BranchState.FINAL:
            return []
        if response.status < 200:
            ringing = Tell("ringing", {"after_ms": _ms(now - self.began)})
            told: list[Effect] = [] if self._phone_rang else [ringing]
            self._phone_rang = True
            installation.wake_ends = self._ring_again = None
            return [*told, Save()] if self._context.state(installation.key) is BranchState.CALLING else told
        # 482: it has the call by an older flow (8.2.2.2), and what it says there still counts.
        installation.is_done = response.status != 482
        installation.wake_ends = installation.ring_ends = None
        if response.status >= 300:
            refused = Tell("phone-refused", {"status": response.status, "reason": response.reason})
            return [refused, Save()]
        return []

    def _ring(self, now: float) -> list[Effect]:
        if self._phone_rang or self._has_rung_itself or self._needs_100rel or self.state.is_over:
            return []
        self._has_rung_itself = True
        self._ring_again = self._ringing_again_at(now)
        return [Ring()]

    def _ringing_again_at(self, now: float) -> float | None:
        """Proxies before us end a call that shows no life for three minutes; shorter ones need no repeat."""
        longest = max(self._policy.wake_timeout, self._policy.ring_timeout)
        return now + RING_AGAIN_S if longest > TIMER_C_S else None

    def _installation_timer(self, installation: Installation, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if _due(installation.push_at, now):
            effects += self._push_now(installation)
        if _due(installation.wake_ends, now):
            installation.wake_ends = None
            if installation.phone is None or self._context.state(installation.key) is BranchState.CALLING:
                text = "No phone came within the wake timeout"
                effects += self._run(self._context.close(installation.key, 480, text, now), now)
        if _due(installation.ring_ends, now):
            installation.ring_ends, installation.is_done = None, True
            effects += self._run(self._context.close(installation.key, 480, "Nobody answered", now), now)
        return effects

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
                self._phone_rang, self._ring_again = True, None
            out.append(effect)
        if cancelled and not self.state.is_over:
            self.state = CallState.CANCELLED
            return [*out, Tell("cancelled", {"reason": reason}), Over(self.state, reason or "Caller hung up")]
        has_crossed = self.state is CallState.CANCELLED and self._context.winner is not None
        if has_crossed or (self._context.final_status and not self.state.is_over):
            # An answer may cross the CANCEL and go upstream before our 487: then they talk.
            out += self._end(out, declined_by)
        elif self.state is CallState.CANCELLED and any(isinstance(one, forking.Answer) for one in out):
            out.append(Save())
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

    def _new_installation(self, name: str, registration_id: int, *, key: str = "") -> Installation:
        key = key or self._new_key(name)
        self._by_key[key] = name
        self._context.wait(key)
        made = self._installations[name] = Installation(name, registration_id, key)
        return made

    def _new_key(self, name: str) -> str:
        key = ""
        while not key or key in self._by_key:  # those of before a restart are taken
            self._keys += 1
            key = f"b{self._keys}"
        self._by_key[key] = name
        return key

    def _reason_to_end(self, known: Installation | None) -> str:
        if known is not None and known.is_done and not self._context.is_closing:
            return reason_value(*self._context.outcome(known.key))
        return self._context.end_reason(known.key if known is not None else "")

    def _since(self, at: float | None) -> float:
        return at - self.began if at is not None else 0.0

    def registration_of(self, key: str) -> int:
        """Return the push registration of a branch, 0 for a phone without one."""
        installation = self._of_key(key)
        return installation.registration_id if installation else 0

    def _of_key(self, key: str) -> Installation | None:
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
