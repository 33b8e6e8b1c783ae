"""Messages that apps hand over by the API: kept, then sent as the account, by its own way (RFC 3428)."""

from __future__ import annotations

import enum
from dataclasses import replace

from wakerobin import log, metrics
from wakerobin.core.errors import SipSyntaxError, StoreUnavailableError
from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.routing import MAX_FORWARDS
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.story import readable
from wakerobin.core.values import Account, Credentials, PushRegistration
from wakerobin.ports.clock import Timer
from wakerobin.ports.messages import SendState, SentMessage
from wakerobin.ports.store import Transaction
from wakerobin.services.messages.asking import Asking, Final
from wakerobin.services.messages.values import Around

MOST_WAITING = 20
"""So many of one push registration may be under way."""
MOST_RESUMED = 1_000
WAITS_MS = 60_000
"""How long a message waits for its account to be registered at the PBX."""
_LOOK_AGAIN_S = 5.0
_ID_OCTETS = 12
_TAG_OCTETS = 5

_log = log.get("messages")


class HandOver(enum.Enum):
    """What becomes of a message at the door."""

    TAKEN = "it is kept, or was before"
    TOO_MANY = "too many wait"


class Sending:
    """Sends each message once, save after a restart: then again, as the same."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._under_way: set[tuple[int, str]] = set()
        """Until it is written how they ended: who looks before that must not send them again."""
        self._waits: dict[tuple[int, str], Timer] = {}

    async def hand_over(self, message: SentMessage) -> HandOver:
        """Keep a message, and send it. One of the same name that was handed over before is not sent again."""

        def work(tx: Transaction) -> SentMessage | None:
            known = tx.sent_messages.get(message.registration_id, message.message_id)
            if known is not None:
                return known
            if tx.sent_messages.count_waiting(message.registration_id) >= MOST_WAITING:
                return None
            tx.sent_messages.add(message)
            return message

        kept = await self._around.store.transact(work)
        if kept is None:
            return HandOver.TOO_MANY
        # One that is known and neither under way nor over was kept by a commit that could not be told.
        if kept.state is SendState.WAITING and _key(kept) not in self._waits:
            self._send(kept)
        return HandOver.TAKEN

    def new_id(self) -> str:
        """Return a name for a message whose app gave it none."""
        return uuid_from(self._around.entropy(16))

    def state(self, registration: PushRegistration, message_id: str) -> SentMessage | None:
        """Return how far a message has come; None where none of this name was handed over."""
        return self._around.store.read(lambda tx: tx.sent_messages.get(registration.id, message_id))

    def resume(self) -> None:
        """Send what a run before this one has left: nobody knows whether it left."""
        for message in self._around.store.read(lambda tx: tx.sent_messages.waiting(MOST_RESUMED)):
            self._send(message)

    def stop(self) -> None:
        """Leave what waits to the next run."""
        for timer in self._waits.values():
            timer.cancel()
        self._waits.clear()
        self._under_way.clear()

    def _send(self, message: SentMessage) -> None:
        key = _key(message)
        self._waits.pop(key, None)
        if key in self._under_way:
            return
        found = self._around.store.read(lambda tx: _sender(tx, message.registration_id))
        if found is None:
            self._end(message, SendState.FAILED, 0, "The account is not registered any more")
            return
        account, credentials = found
        upstream = self._around.upstream(account.id)
        if upstream is None:
            self._wait(message)
            return
        try:
            request = self._request(message, account)
        except (SipSyntaxError, ValueError):
            self._end(message, SendState.FAILED, 0, "Nobody can be written to at this address")
            return
        self._under_way.add(key)
        Asking(
            self._around,
            upstream,
            credentials,
            request,
            1,
            lambda final, _cseq: self._final(message, final),
        ).begin()

    def _wait(self, message: SentMessage) -> None:
        around = self._around
        if around.clock.now() - message.created_at >= WAITS_MS:
            text = "The account is not registered at its PBX now"
            self._end(message, SendState.FAILED, 0, text)
            return
        when = around.clock.monotonic() + _LOOK_AGAIN_S
        self._waits[_key(message)] = around.timers.call_at(when, lambda: self._send(message))

    def _request(self, message: SentMessage, account: Account) -> Message:
        """Return the MESSAGE: the same Call-ID and tag in each run, so that its way can know it again."""
        parts = (str(message.registration_id), message.message_id)
        named = keyed_hash(self._around.secret, "sent-message", *parts, size=_ID_OCTETS + _TAG_OCTETS)
        to = address_of(message.to, account)
        headers = [
            ("Max-Forwards", str(MAX_FORWARDS)),
            ("From", f"<{account.aor}>;tag={named[_ID_OCTETS:].hex()}"),
            ("To", f"<{to}>"),
            ("Call-ID", named[:_ID_OCTETS].hex()),
            ("Content-Type", message.content_type),
            ("User-Agent", "Wakerobin"),
        ]
        return Message.request("MESSAGE", to, headers, message.body)

    def _final(self, message: SentMessage, final: Final) -> None:
        if 200 <= final.status < 300:
            self._end(message, SendState.SENT, final.status, "")
        else:
            self._end(message, SendState.FAILED, final.status, words_of(final))

    def _end(self, message: SentMessage, state: SendState, status: int, reason: str) -> None:
        metrics.MESSAGES.labels(state.value).inc()
        self._around.start(self._write(replace(message, state=state, status=status, reason=reason)))

    async def _write(self, message: SentMessage) -> None:
        try:
            await self._around.store.transact(lambda tx: tx.sent_messages.end(message))
        except StoreUnavailableError as error:
            _log.warning("store_unavailable", reason=str(error))
        finally:
            self._under_way.discard(_key(message))


def _key(message: SentMessage) -> tuple[int, str]:
    return message.registration_id, message.message_id


def address_of(to: str, account: Account) -> str:
    """Return the URI that an app means: a `sip:` URI, or a number or name of the account's own domain.

    Raises SipSyntaxError.
    """
    if ":" not in to:
        to = f"sip:{to}" if "@" in to else f"sip:{to}@{account.aor.rpartition('@')[2]}"
    uri = SipUri.parse(to)
    if uri.scheme != "sip" or not uri.user or uri.headers or not str(uri).isascii() or set(to) & _UNFIT:
        raise SipSyntaxError("It must be a sip: URI with a user")
    return to


_UNFIT = frozenset('<>"\\ \t\r\n')


def words_of(final: Final) -> str:
    """Return why a message was not taken, in words."""
    if final.response is None:
        return final.reason
    status = final.status
    if status in (401, 407):
        return "The PBX does not accept the login for it"
    if status == 403:
        return "The PBX does not allow it"
    if status in (404, 604):
        return "The PBX knows nobody at this address"
    if status in (405, 415, 488, 501):
        return "The PBX, or the other phone, takes no messages of this kind"
    return f"The PBX answered {status} {readable(final.response.reason)}".rstrip()


def _sender(tx: Transaction, registration_id: int) -> tuple[Account, Credentials] | None:
    registration = tx.registrations.get(registration_id)
    account = tx.accounts.get(registration.account_id) if registration is not None else None
    credentials = tx.accounts.credentials(account.id) if account is not None else None
    return (account, credentials) if account is not None and credentials is not None else None
