"""The response context of a forking proxy (RFC 3261 section 16.6 to 16.10) for one INVITE.

Pure: branches are keys, `now` comes with every input, effects go out as values. One departure from the
RFC is deliberate: exactly one final response goes upstream. A later 2xx is acknowledged and ended here,
because PBXs take the loser's Contact for the winner's and acknowledge neither (16.7 step 5 would pass it on).
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.header import NameAddr, reason_value
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri

ELSEWHERE = reason_value(200, "Call completed elsewhere")
"""The Reason with which a phone is told that another one answered (RFC 3326)."""

MERGED = reason_value(482, "Merged Request")
"""The Reason with which a phone is told that it has this call already (8.2.2.2)."""

CANCEL_PATIENCE_S = 2.0
"""How long a cancelled or declined call waits for branches that have rung."""

_SHARE = 8
_MARK = re.compile(r"\.[0-9a-f]{8}[ \t\r\n]*+(?:[;,]|\Z)")
"""What part of the breadth that is left a branch gets: phones seldom fork, and there may be twenty."""

LATE_WINDOW_FACTOR = 64
"""A 2xx may arrive, or be repeated, for 64·T1 after the end (RFC 6026, timer M)."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Send this response of a branch upstream; our Via is still on top."""

    key: str
    response: Message


@dataclass(frozen=True, slots=True)
class Answer:
    """Send our own final response upstream. `text` says why, for the Reason header and for people."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """CANCEL a branch, as soon as it may be cancelled (9.1), with this Reason."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Acknowledge a 2xx that is not forwarded, each time it comes."""

    key: str
    response: Message


@dataclass(frozen=True, slots=True)
class EndDialog:
    """End, by a BYE of ours, the dialog that a 2xx made which nobody upstream knows of."""

    key: str
    response: Message
    reason: str


Effect: TypeAlias = Forward | Answer | Cancel | Acknowledge | EndDialog


class BranchState(enum.Enum):
    """What a branch has seen."""

    WAITING = "waiting"
    """Nothing was sent: its phone is being woken."""
    CALLING = "calling"
    PROCEEDING = "proceeding"
    """A provisional response came, so it may be cancelled."""
    FINAL = "final"


@dataclass(slots=True)
class _Branch:
    state: BranchState = BranchState.WAITING
    rang: bool = False
    breadth: int = 0
    status: int = 0
    response: Message | None = None
    text: str = ""
    ended_tags: set[str] = field(default_factory=set)
    counts: bool = True
    """Whether its answer is one of those to choose from."""
    has_spoken: bool = False
    has_ended: bool = False
    """Its phone has said a final word, wanted or not."""
    cancelled_with: str = ""


class ResponseContext:
    """Collects what the branches of one INVITE answer and decides what goes upstream.

    Driven by three things: branches that begin, responses (or their failure), and the caller's CANCEL.
    """

    def __init__(self, *, breadth: int, t1: float = 0.5) -> None:
        self._branches: dict[str, _Branch] = {}
        self._breadth = breadth
        self._late_window = LATE_WINDOW_FACTOR * t1
        self._patience_ends: float | None = None
        self._closes: float | None = None
        self._cancelled: str | None = None
        self._end_reason = ""
        self.winner: str | None = None
        """The branch whose 2xx went upstream."""
        self.final_status = 0
        """The status of the one final response that went upstream; 0 before it."""

    @property
    def deadline(self) -> float | None:
        """When `on_timer` must be called next."""
        return min((t for t in (self._patience_ends, self._closes) if t is not None), default=None)

    @property
    def is_closing(self) -> bool:
        """Whether its end is decided: no branch may begin any more."""
        return self.final_status != 0 or self._patience_ends is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing that can still arrive matters."""
        return self.final_status != 0 and self._closes is None

    def state(self, key: str) -> BranchState:
        """Return what a branch has seen."""
        return self._branches[key].state

    def outcome(self, key: str) -> tuple[int, str]:
        """Return the final status of a branch, 0 before it, and its words."""
        branch = self._branches[key]
        return branch.status, branch.text

    def end_reason(self, key: str) -> str:
        """Return the Reason with which a branch is to end now that its call is over."""
        return MERGED if key == self.winner else self._end_reason or MERGED

    def unanswered_cancel(self, key: str) -> str:
        """Return the Reason of the CANCEL that a phone got, or was to get, and showed no effect; else ""."""
        branch = self._branches.get(key)
        is_open = branch is not None and branch.has_spoken and not branch.has_ended
        return branch.cancelled_with if branch is not None and is_open else ""

    def wait(self, key: str) -> None:
        """Begin a branch whose phone is being woken."""
        self._branches[key] = _Branch()

    def call(self, key: str) -> int:
        """Begin a branch (or go on with a waiting one) by an INVITE; returns its Max-Breadth.

        0 means that RFC 5393 forbids one more concurrent branch: the caller answers 440 for it.
        """
        branch = self._branches.setdefault(key, _Branch())
        free = self._breadth - sum(b.breadth for b in self._branches.values())
        if free <= 0:
            return 0
        branch.breadth = max(1, free // _SHARE)
        branch.state = BranchState.CALLING
        return branch.breadth

    def resume(self, key: str) -> None:
        """Take up a branch of before a restart: it may have rung, so it may be cancelled."""
        self._branches[key] = _Branch(state=BranchState.PROCEEDING, breadth=1, has_spoken=True)

    def refuse(self, key: str, reason: str) -> list[Effect]:
        """Cancel a branch that came too late, or twice, to be the call's; its 2xx counts all the same."""
        self.resume(key)
        self._branches[key].counts = False
        return [self._cancel_one(key, reason)]

    def drop(self, key: str) -> None:
        """Forget a branch that a newer one of the same phone replaces: it counts for nothing."""
        self._branches.pop(key, None)

    def receive(self, key: str, response: Message, now: float) -> list[Effect]:
        """Take a response of a branch (16.7)."""
        branch = self._branches.setdefault(key, _Branch(state=BranchState.CALLING, breadth=1))
        status = response.status
        branch.has_spoken = True
        branch.has_ended = branch.has_ended or status >= 200
        if status < 200:
            return self._provisional(key, branch, response)
        if status < 300:
            return self._success(key, branch, response, now)
        if branch.state is BranchState.FINAL:
            return []
        branch.response = response
        return self._final(branch, status, response.reason, now)

    def close(self, key: str, status: int, text: str, now: float) -> list[Effect]:
        """End a branch by our own decision: timeout, dead flow, refused push. What may ring is cancelled."""
        branch = self._branches[key]
        if branch.state is BranchState.FINAL:
            return []
        effects: list[Effect] = []
        if branch.state in (BranchState.CALLING, BranchState.PROCEEDING):
            effects.append(self._cancel_one(key, reason_value(status, text)))
        return effects + self._final(branch, status, text, now)

    def cancel(self, reason: str, now: float) -> list[Effect]:
        """The caller hung up: CANCEL every branch, then 487: at once if nothing rang, after 2 s at most."""
        if self.final_status or self._cancelled is not None:
            return []
        self._cancelled = reason
        self._end_reason = reason or reason_value(487, "Caller hung up")
        effects = self._cancel_open(self._end_reason, but="")
        self._patience_ends = now + CANCEL_PATIENCE_S
        return effects + self._settle(now)

    def decline(self, status: int, text: str, now: float, key: str = "") -> list[Effect]:
        """The user does not want the call: stop every phone and tell the PBX `status` at once."""
        if self.final_status:
            return []
        if key in self._branches:
            self._branches[key].state = BranchState.FINAL
        self._end_reason = reason_value(status, text)
        effects = self._cancel_open(self._end_reason, but=key)
        return [*effects, self._answer(status, text, now)]

    def settle(self, now: float) -> list[Effect]:
        """Answer if every branch is final; without any branch nobody can be reached."""
        return self._settle(now)

    def on_timer(self, now: float) -> list[Effect]:
        """Act on what is due. Calling it early does nothing."""
        if self._patience_ends is not None and now >= self._patience_ends:
            self._patience_ends = None
            for branch in self._branches.values():
                if branch.state is not BranchState.FINAL:
                    branch.state, branch.status, branch.text = BranchState.FINAL, 487, "no answer to CANCEL"
            return self._settle(now)
        if self._closes is not None and now >= self._closes:
            self._closes = None
        return []

    def _provisional(self, key: str, branch: _Branch, response: Message) -> list[Effect]:
        if branch.state is BranchState.FINAL:
            return []
        branch.state = BranchState.PROCEEDING
        if response.status == 100:
            return []
        branch.rang = branch.counts
        if self.final_status or self._cancelled is not None or not branch.counts:
            return []
        return [Forward(key, response)]

    def _success(self, key: str, branch: _Branch, response: Message, now: float) -> list[Effect]:
        tag = response.to_tag or ""
        branch.breadth = 0
        if not self.final_status:
            self.winner, self.final_status = key, response.status
            self._end_reason = ELSEWHERE
            branch.state, branch.response = BranchState.FINAL, response
            self._patience_ends, self._closes = None, now + self._late_window
            return [Forward(key, response), *self._cancel_open(ELSEWHERE, but=key)]
        winning = branch.response if key == self.winner else None
        if winning is not None and winning.to_tag == tag:
            return [Forward(key, response)]  # a retransmission: the PBX's ACK was lost
        branch.state = BranchState.FINAL
        effects: list[Effect] = [Acknowledge(key, response)]
        if tag not in branch.ended_tags:
            branch.ended_tags.add(tag)
            effects.append(EndDialog(key, response, self._end_reason))
        return effects

    def _final(self, branch: _Branch, status: int, text: str, now: float) -> list[Effect]:
        branch.state, branch.status, branch.text = BranchState.FINAL, status, text
        branch.breadth = 0
        effects: list[Effect] = []
        if status >= 600 and not self.final_status and self._cancelled is None:
            # 16.7 step 5: a 6xx stops the other branches, and is chosen when they are final.
            effects += self._cancel_open(reason_value(status, text), but="")
            self._patience_ends = now + CANCEL_PATIENCE_S
        return effects + self._settle(now)

    def _cancel_open(self, reason: str, *, but: str) -> list[Effect]:
        effects: list[Effect] = []
        for key, branch in self._branches.items():
            if key == but or branch.state is BranchState.FINAL:
                continue
            if branch.state is BranchState.WAITING:
                branch.state, branch.status, branch.text = BranchState.FINAL, 487, "not needed any more"
            else:
                effects.append(self._cancel_one(key, reason))
        return effects

    def _cancel_one(self, key: str, reason: str) -> Effect:
        branch = self._branches[key]
        branch.cancelled_with = branch.cancelled_with or reason
        return Cancel(key, reason)

    def _settle(self, now: float) -> list[Effect]:
        if self.final_status:
            return []
        if self._cancelled is not None:
            ringing = any(b.rang and b.state is not BranchState.FINAL for b in self._branches.values())
            return [] if ringing else [self._answer(487, "Request Terminated", now)]
        if any(b.counts and b.state is not BranchState.FINAL for b in self._branches.values()):
            return []
        return [self._best(now)]

    def _best(self, now: float) -> Effect:
        """Choose by 16.7 step 6: a 6xx, else the lowest class; among 4xx 486, then a phone's own words."""
        finals = [(k, b) for k, b in self._branches.items() if b.status and b.counts]
        if not finals:
            return self._answer(480, "No phone of this account can be reached", now)
        key, best = min(finals, key=lambda item: _rank(item[1]))
        response = best.response
        if response is None or best.status in (401, 407):
            # 401 and 407 are a phone's answer to *us*; the PBX could only mistake them for its own.
            return self._answer(480 if best.status in (401, 407) else best.status, best.text, now)
        if best.status == 503:
            response = response.copy()
            response.status, response.reason = 500, "Server Internal Error"
        self._end(response.status, now)
        return Forward(key, response)

    def _answer(self, status: int, text: str, now: float) -> Effect:
        self._end(status, now)
        if not self._end_reason:
            self._end_reason = reason_value(status, text)
        return Answer(status, text)

    def _end(self, status: int, now: float) -> None:
        self.final_status = status
        self._patience_ends, self._closes = None, now + self._late_window


def _rank(branch: _Branch) -> tuple[int, int, int]:
    is_global = 0 if branch.status >= 600 else 1
    status = 480 if branch.status in (401, 407) else branch.status
    own_words = 0 if branch.response is not None and branch.status not in (401, 407) else 1
    preference = 0 if status == 486 else 1 + own_words
    return is_global, status // 100, preference


# What a proxy in the place of the caller says to a phone whose 2xx was not wanted.


def ack_for(invite: Message, response: Message, is_ours: Callable[[str], bool]) -> Message:
    """Make the ACK for a 2xx that is not forwarded (13.2.2.4), without Via."""
    return _in_dialog("ACK", invite, response, is_ours)


def bye_for(invite: Message, response: Message, reason: str, is_ours: Callable[[str], bool]) -> Message:
    """Make the BYE that ends the dialog of such a 2xx (15.1.1), without Via."""
    bye = _in_dialog("BYE", invite, response, is_ours)
    bye.add("Reason", reason)
    return bye


def _in_dialog(method: str, invite: Message, response: Message, is_ours: Callable[[str], bool]) -> Message:
    number = invite.cseq.number + (method == "BYE")
    headers = [("Max-Forwards", "70")]
    headers += [("Route", value) for value in _routes_below(response, is_ours)]
    headers += [
        ("From", invite.get("from") or ""),
        ("To", response.get("to") or ""),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{number} {method}"),
    ]
    return Message.request(method, remote_target(invite, response), headers)


def remote_target(invite: Message, response: Message) -> str:
    """Return the Contact of a response, to the letter; where it is none, the INVITE's own target."""
    try:
        uri = response.contacts[0].uri
        SipUri.parse(uri)
    except (SipSyntaxError, IndexError):
        return invite.uri
    return uri


def _routes_below(response: Message, is_ours: Callable[[str], bool]) -> list[str]:
    """Return the part of the route set between us and the phone, nearest to us first."""
    below: list[str] = []
    for value in response.values("record-route"):
        try:
            if is_ours(NameAddr.parse(value).uri):
                break
        except SipSyntaxError:
            break
        below.append(value)
    return below[::-1]


# RFC 5393


def loop_hash(request: Message) -> str:
    """Return eight hex digits over all that decides where a request goes (16.6 step 8, RFC 5393 4.2)."""
    parts = (
        request.uri,
        request.call_id,
        str(request.cseq.number),
        request.from_tag or "",
        request.to_tag or "",
        *request.values("route"),
        request.get("proxy-require") or "",
    )
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


def has_looped(request: Message) -> bool:
    """Whether this very request passed through us before with nothing changed (482)."""
    if not any(_MARK.search(line) for line in request.all("via")):
        return False  # nobody has put such a mark there: its hash need not be made
    mark = "." + loop_hash(request)
    return any(mark in via and _branch_ends(via, mark) for via in request.values("via"))


def _branch_ends(via: str, mark: str) -> bool:
    _, _, rest = via.partition("branch=")
    return rest.split(";", 1)[0].strip().endswith(mark)


def breadth_of(request: Message, default: int) -> int:
    """Return the Max-Breadth that came (RFC 5393 5.3.3), or `default` for a request without one."""
    value = (request.get("max-breadth") or "").strip()
    is_number = value.isascii() and value.isdigit() and len(value) < 7
    return min(int(value), 1000) if is_number else default
