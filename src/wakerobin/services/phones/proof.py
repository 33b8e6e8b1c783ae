"""Whether a phone is who it says: digest in the realm and algorithm of its own PBX (RFC 3261 section 22)."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from wakerobin.core import tokens
from wakerobin.core.ids import Entropy
from wakerobin.core.sip import digest
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Account, Algorithm, Credentials


class Verdict(enum.Enum):
    """What the answer to a challenge is worth."""

    PROVEN = "proven"
    ASK = "ask"
    """It answered nothing, or somebody else's challenge: challenge it."""
    STALE = "stale"
    """An answer to an old challenge, or to one of another source: challenge it again, it is no failure."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict, and whose account it is about."""

    verdict: Verdict
    account: Account | None = None


class Doorkeeper:
    """Challenges phones and judges their answers. Times are wall-clock seconds."""

    def __init__(self, keys: tokens.TokenKeys, entropy: Entropy) -> None:
        self._nonces = tokens.NonceKeys(keys)
        self._counts = tokens.NonceCounts()
        self._entropy = entropy

    def challenge(self, aor: str, account: Account | None, now_s: float, source: str, *, stale: bool) -> str:
        """Return the one WWW-Authenticate: the PBX's realm, and the algorithm that it accepted from us.

        An AOR that nobody enrolled is challenged like one whose first proof is outstanding.
        """
        realm = _realm(aor, account)
        algorithm = account.algorithm if account is not None else Algorithm.MD5
        nonce = self._nonces.make(now_s, aor, source, self._entropy(4))
        return digest.challenge_value(realm, nonce, digest.Algorithm[algorithm.name], stale=stale)

    def judge(
        self,
        request: Message,
        aor: str,
        candidates: Iterable[tuple[Account, Credentials]],
        now_s: float,
        source: str,
    ) -> Proof:
        """Judge the Authorization of a REGISTER against the accounts of an AOR (one for each app at most)."""
        answers = answers_in(request)
        fresh = [one for one in answers if self._is_fresh(one, aor, now_s, source)]
        realms = set()
        for account, credentials in candidates:
            realms.add(_realm(aor, account))
            for answer in fresh:
                if _is_right(answer, account, credentials, request):
                    is_new = self._counts.accept(answer.nonce, answer.nc)
                    return Proof(Verdict.PROVEN if is_new else Verdict.STALE, account)
        realms = realms or {_realm(aor, None)}
        # Whoever answers another realm (ours of before the proof) has shown no wrong password here.
        if any(answer.realm in realms for answer in fresh):
            return Proof(Verdict.WRONG)
        # Nothing is said of what answers no challenge of this source: it may be forged, or a guess for free.
        return Proof(Verdict.STALE if any(answer.realm in realms for answer in answers) else Verdict.ASK)

    def is_seen(self, request: Message, aor: str, now_s: float, source: str) -> bool:
        """Whether a request answers a challenge that went to its very source: that is not forged."""
        return any(self._is_fresh(answer, aor, now_s, source) for answer in answers_in(request))

    def issued(self, value: str, aor: str) -> bool:
        """Whether an Authorization answers a nonce of ours for this AOR, old or new."""
        answered = digest.parse_authorization(value)
        if answered is None:
            return False
        return self._nonces.judge(answered.nonce, 0, aor, "") is not tokens.NonceVerdict.FOREIGN

    def prune(self, now_s: float) -> None:
        """Forget nonces that nobody can use any more."""
        self._counts.prune(now_s)

    def _is_fresh(self, answer: digest.Authorization, aor: str, now_s: float, source: str) -> bool:
        return self._nonces.judge(answer.nonce, now_s, aor, source) is tokens.NonceVerdict.FRESH


def answers_in(request: Message) -> list[digest.Authorization]:
    """Return the answers to Digest challenges that a request carries."""
    return [a for a in map(digest.parse_authorization, request.all("authorization")) if a is not None]


def _realm(aor: str, account: Account | None) -> str:
    return account.realm if account is not None and account.realm else aor.rpartition("@")[2]


def _is_right(
    answer: digest.Authorization, account: Account, credentials: Credentials, request: Message
) -> bool:
    if answer.username != credentials.username:
        return False
    ha1 = _ha1(answer, account, credentials)
    return ha1 is not None and digest.verify(answer, ha1=ha1, method=request.method, body=request.body)


def _ha1(answer: digest.Authorization, account: Account, credentials: Credentials) -> str | None:
    """Return the HA1 for the realm that we challenge with; of another realm nothing is tried."""
    realm = _realm(account.aor, account)
    if answer.realm != realm:
        return None
    key = credentials.key(realm, Algorithm(answer.algorithm.wire))
    if key is not None:
        return key.reveal()
    if credentials.password is not None:
        return digest.ha1(answer.algorithm, credentials.username, realm, credentials.password.reveal())
    return None
