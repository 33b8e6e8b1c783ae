"""Phones that ring for a call which is over and forgotten here: an app read its INVITE minutes late.

It had slept on an open socket. Nobody waits for it any more, so it is stopped: cancelled where it rings,
acknowledged and hung up where it answers.
"""

from __future__ import annotations

from wakerobin.core.call import CallState
from wakerobin.core.sip import forking
from wakerobin.core.sip.forking import ELSEWHERE
from wakerobin.core.sip.header import NameAddr, reason_value
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Flow
from wakerobin.ports.store import CallRecord, Store, Transaction
from wakerobin.services.switchboard.exchange import Exchange
from wakerobin.services.switchboard.incoming import call_key

_MOST = 1_000
_UNANSWERED = frozenset({CallState.CANCELLED, CallState.MISSED, CallState.DECLINED})


class Ghosts:
    """Knows of a call only what is stored of it, and does nothing where that is nothing."""

    def __init__(self, store: Store, exchange: Exchange) -> None:
        self._store = store
        self._exchange = exchange
        self._hung_up: dict[tuple[str, str], None] = {}
        """Branches and tags of those that have got their BYE: they may repeat themselves."""

    def lay(self, registration_id: int, response: Message, flow: Flow) -> bool:
        """Stop a phone whose response carries a branch of ours. False: its call may be up, or is not known.

        A refusal needs no more than that nobody asks for it again: it is left alone.
        """
        record = self._store.read(lambda tx: self._record(tx, registration_id, response))
        if record is None or response.status >= 300 or not _is_lost(record, registration_id):
            return False
        invite, reason = _invite_of(response), _reason(record)
        if response.status < 200:
            self._cancel(invite, response, flow, reason)
        else:
            self._hang_up(invite, response, flow, reason)
        return True

    def _record(self, tx: Transaction, registration_id: int, response: Message) -> CallRecord | None:
        registration = tx.registrations.get(registration_id)
        if registration is None:
            return None
        return tx.calls.get(call_key(self._exchange.keys.lasting, response, registration.account_id))

    def _cancel(self, invite: Message, response: Message, flow: Flow, reason: str) -> None:
        handle = self._exchange.transactions.adopt_client(
            invite, flow, response.branch or "", _ignore, _ignore
        )
        handle.cancel((("Reason", reason),))

    def _hang_up(self, invite: Message, response: Message, flow: Flow, reason: str) -> None:
        ack = forking.ack_for(invite, response, self._exchange.is_ours)
        self._exchange.transactions.send_ack(ack, flow)
        said = (response.branch or "", response.to_tag or "")
        if said in self._hung_up:
            return
        if len(self._hung_up) >= _MOST:
            del self._hung_up[next(iter(self._hung_up))]
        self._hung_up[said] = None
        bye = forking.bye_for(invite, response, reason, self._exchange.is_ours)
        self._exchange.transactions.request(bye, flow, _ignore, _ignore)


def _is_lost(record: CallRecord, registration_id: int) -> bool:
    """Whether the call is over for this phone; not known of one that was cut off before it was stored."""
    if record.state == CallState.ANSWERED:
        return record.answered_by not in (0, registration_id)
    return record.ended_at > 0 and record.state in _UNANSWERED


def _reason(record: CallRecord) -> str:
    if record.state == CallState.ANSWERED:
        return ELSEWHERE
    # A caller's own words stand there as they came; ours are text.
    return record.reason if record.reason.startswith(("SIP", "Q.850")) else reason_value(487, record.reason)


def _invite_of(response: Message) -> Message:
    """Return as much of the INVITE as its CANCEL, ACK and BYE are made of."""
    to = response.to
    untagged = {name: value for name, value in to.params.items() if name != "tag"}
    headers = [("Max-Forwards", "70"), ("From", response.get("from") or "")]
    headers.append(("To", str(NameAddr(to.display, to.uri, untagged))))
    headers += [("Call-ID", response.call_id), ("CSeq", f"{response.cseq.number} INVITE")]
    invite = Message.request("INVITE", response.to.uri, headers)
    invite.uri = forking.remote_target(invite, response)
    return invite


def _ignore(_: object) -> None:
    """Nobody waits for what it says."""
