"""SUBSCRIBE on behalf (RFC 6665, RFC 3842): for apps whose PBX says nothing of a mailbox unless it is asked.

One subscription for each account, in memory only: after a restart the PBX is asked anew, and what it sends to
the old subscription gets 481, which ends that. No account has a timer or a task of its own.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from wakerobin import log, metrics
from wakerobin.core.errors import SipSyntaxError, StoreUnavailableError
from wakerobin.core.ids import hex_token
from wakerobin.core.mailbox import SUMMARY
from wakerobin.core.pacing import Backoff
from wakerobin.core.sip.header import NameAddr, delta_seconds
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.routing import MAX_FORWARDS
from wakerobin.core.values import Account, Credentials, Flow
from wakerobin.ports.clock import Timer
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.ports.store import KeptAccount, Transaction
from wakerobin.services.fleet.values import Upstream
from wakerobin.services.messages.asking import Asking, Final
from wakerobin.services.messages.mailboxes import Mailboxes
from wakerobin.services.messages.values import Around, living
from wakerobin.services.phones.answers import refuse

EXPIRES_S = 3600
AT_ONCE_S = 0.1
"""So long after one SUBSCRIBE the next one goes: ten a second for the whole server."""
REFUSED_S = 6 * 3600.0
"""A PBX that has no mailbox for an account is asked again then."""
UNBOUND_S = 30.0
LOOK_S = 5.0
"""How often new accounts are looked for, where anything has changed…"""
LOOK_AT_ALL_S = 600.0
"""…and how often all are: an old one may have been proven again."""
_SHARE = 0.8
_PAGE = 400
_REFUSED = frozenset({403, 404, 405, 410, 489, 501, 604})
_FOR_GOOD = frozenset({"rejected", "noresource"})
_BACKOFF = Backoff()
_ID_OCTETS = 12
_TAG_OCTETS = 5

_log = log.get("messages")


@dataclass(slots=True)
class _Peer:
    """The other side of a subscription's dialog."""

    to: str
    target: str
    routes: tuple[str, ...]


@dataclass(slots=True, eq=False)
class _Subscription:
    """One account's."""

    account_id: int
    call_id: str
    tag: str
    cseq: int = 0
    peer: _Peer | None = None
    failures: int = 0


class Subscriptions:
    """`is_wanted` says whether an app's accounts are asked for; `some` whether any app's are."""

    def __init__(
        self, around: Around, mailboxes: Mailboxes, is_wanted: Callable[[str], bool], *, some: bool
    ) -> None:
        self._around = around
        self._mailboxes = mailboxes
        self._is_wanted = is_wanted
        self._some = some
        self._of_account: dict[int, _Subscription] = {}
        self._by_call_id: dict[str, _Subscription] = {}
        self._due: list[tuple[float, int, str]] = []
        self._timer: Timer | None = None
        self._has_news = True
        self._looked_at = self._looked_at_all = -LOOK_AT_ALL_S
        self._last_id = 0
        self._runs = False
        if some:
            around.store.on_commit(self._committed)

    def start(self) -> None:
        """Begin to subscribe; nothing happens where no app wants it."""
        if self._some:
            self._runs = True
            self._turn()

    def stop(self) -> None:
        """Send nothing more."""
        self._runs = False
        if self._timer is not None:
            self._timer.cancel()

    def notified(
        self, transaction: ServerTransactionHandle, is_from_pbx: Callable[[Account, Flow], bool]
    ) -> bool:
        """Take a NOTIFY of a subscription of ours. False: it is none. Raises SipSyntaxError."""
        request = transaction.request
        found = self._by_call_id.get(request.call_id)
        if found is None or request.method != "NOTIFY" or request.to_tag != found.tag:
            return False
        account = self._around.store.read(lambda tx: tx.accounts.get(found.account_id))
        if account is None or not is_from_pbx(account, transaction.flow):
            refuse(transaction, 481)
            return True
        state, _, said = (request.get("subscription-state") or "").partition(";")
        if state.strip().lower() == "terminated":
            self._ended(found, said)
        self._mailboxes.receive(transaction, account)
        return True

    # Turn by turn

    def _committed(self, groups: frozenset[str]) -> None:
        self._has_news = self._has_news or "bindings" in groups

    def _turn(self) -> None:
        self._timer = None
        now = self._around.clock.monotonic()
        is_wanted = self._has_news or now - self._looked_at_all >= LOOK_AT_ALL_S
        if is_wanted and now - self._looked_at >= LOOK_S:
            self._has_news, self._looked_at = False, now
            self._around.start(self._look(now))
        wait = LOOK_S
        while self._due and self._due[0][0] <= now:
            _, account_id, call_id = heapq.heappop(self._due)
            subscription = self._of_account.get(account_id)
            if subscription is not None and subscription.call_id == call_id:
                self._ask_safely(subscription)
                wait = AT_ONCE_S
                break
        if self._due:
            wait = min(wait, max(AT_ONCE_S, self._due[0][0] - now))
        if self._runs:
            self._timer = self._around.timers.call_at(now + wait, self._turn)

    async def _look(self, now: float) -> None:
        """Take in accounts that are bound and have no subscription yet."""
        after = self._last_id
        if now - self._looked_at_all >= LOOK_AT_ALL_S:
            after, self._looked_at_all = 0, now
        while page := self._around.store.read(partial(_kept, after)):
            for account in page:
                if account.id not in self._of_account:
                    self._begin(account.id, 0.0)
            after = page[-1].id
            self._last_id = max(self._last_id, after)
            await asyncio.sleep(0)
        self._arm_soon()

    def _begin(self, account_id: int, wait_s: float, failures: int = 0) -> None:
        """Make a subscription of a new name, and have it asked for."""
        former = self._of_account.get(account_id)
        if former is not None:
            self._by_call_id.pop(former.call_id, None)
        entropy = self._around.entropy
        made = _Subscription(account_id, hex_token(entropy, _ID_OCTETS), hex_token(entropy, _TAG_OCTETS))
        made.failures = failures
        self._of_account[account_id] = made
        self._by_call_id[made.call_id] = made
        self._put(made, wait_s)

    def _put(self, subscription: _Subscription, wait_s: float) -> None:
        due = self._around.clock.monotonic() + wait_s
        heapq.heappush(self._due, (due, subscription.account_id, subscription.call_id))

    def _arm_soon(self) -> None:
        if self._runs and self._timer is not None:
            self._timer.cancel()
            self._turn()

    def _forget(self, subscription: _Subscription) -> None:
        self._by_call_id.pop(subscription.call_id, None)
        if self._of_account.get(subscription.account_id) is subscription:
            del self._of_account[subscription.account_id]

    # One SUBSCRIBE

    def _ask_safely(self, subscription: _Subscription) -> None:
        try:
            self._ask(subscription)
        except StoreUnavailableError as error:
            _log.warning("store_unavailable", reason=str(error))
            self._put(subscription, UNBOUND_S)

    def _ask(self, subscription: _Subscription) -> None:
        found = self._around.store.read(lambda tx: _wanting(tx, subscription.account_id))
        if found is None or not self._is_wanted(found[0].app):
            self._forget(subscription)
            return
        account, credentials = found
        upstream = self._around.upstream(account.id)
        if upstream is None:
            self._put(subscription, UNBOUND_S)
            return
        subscription.cseq += 1
        peer = subscription.peer
        Asking(
            self._around,
            upstream,
            credentials,
            _subscribe(account, subscription, upstream),
            subscription.cseq,
            lambda final, cseq: self._answered(subscription, final, cseq),
        ).begin(peer.routes if peer is not None else None)

    def _answered(self, subscription: _Subscription, final: Final, cseq: int) -> None:
        subscription.cseq = max(subscription.cseq, cseq)
        if self._of_account.get(subscription.account_id) is not subscription:
            return
        status = final.status
        metrics.MESSAGES.labels("subscribed" if 200 <= status < 300 else "not-subscribed").inc()
        if 200 <= status < 300 and final.response is not None:
            subscription.failures = 0
            subscription.peer = subscription.peer or _peer(final.response)
            granted = final.response.expires
            self._put(subscription, max(30.0, _SHARE * (EXPIRES_S if granted is None else granted)))
        elif subscription.peer is not None and status in (404, 408, 481):
            self._begin(
                subscription.account_id, 1.0
            )  # RFC 6665 4.1.2.2: the PBX knows nothing of it any more
        elif status in _REFUSED:
            _log.info("no_mailbox", account=subscription.account_id, status=status)
            self._begin(subscription.account_id, REFUSED_S * (0.5 + self._jitter()))
        else:
            wait = _BACKOFF.delay(subscription.failures, self._jitter())
            self._begin(subscription.account_id, wait, subscription.failures + 1)

    def _ended(self, subscription: _Subscription, said: str) -> None:
        """The PBX ends it (RFC 6665 4.1.3): asked for again soon, unless it says that there is no use."""
        params = dict(part.strip().partition("=")[::2] for part in said.split(";"))
        after = delta_seconds(params.get("retry-after", ""))
        if params.get("reason", "").lower() in _FOR_GOOD:
            wait = REFUSED_S * (0.5 + self._jitter())
        else:
            wait = float(after) if after is not None else 1.0 + self._jitter()
        self._begin(subscription.account_id, wait)

    def _jitter(self) -> float:
        return int.from_bytes(self._around.entropy(2), "big") / 0xFFFF


def _kept(after: int, tx: Transaction) -> list[KeptAccount]:
    return tx.accounts.kept(after, _PAGE)


def _wanting(tx: Transaction, account_id: int) -> tuple[Account, Credentials] | None:
    """Return an account whose mailbox is of use to anybody, with its login."""
    account = tx.accounts.get(account_id)
    if account is None or not account.proven or not living(tx, account_id):
        return None
    credentials = tx.accounts.credentials(account_id)
    return (account, credentials) if credentials is not None else None


def _subscribe(account: Account, subscription: _Subscription, upstream: Upstream) -> Message:
    peer = subscription.peer
    headers = [
        ("Max-Forwards", str(MAX_FORWARDS)),
        ("From", f"<{account.aor}>;tag={subscription.tag}"),
        ("To", peer.to if peer is not None else f"<{account.aor}>"),
        ("Call-ID", subscription.call_id),
        ("Contact", f"<{upstream.contact_uri}>"),
        ("Event", "message-summary"),
        ("Accept", SUMMARY),
        ("Expires", str(EXPIRES_S)),
        ("User-Agent", "Wakerobin"),
    ]
    return Message.request("SUBSCRIBE", peer.target if peer is not None else account.aor, headers)


def _peer(response: Message) -> _Peer | None:
    """Return the dialog that a 2xx makes (RFC 3261 12.1.2); None where it is not good for one."""
    try:
        contact, to = response.contacts[0], NameAddr.parse(response.get("to") or "")
    except (SipSyntaxError, IndexError):
        return None
    if to.tag is None:
        return None
    routes = tuple(reversed(response.values("record-route")))
    return _Peer(response.get("to") or "", contact.uri, routes)
