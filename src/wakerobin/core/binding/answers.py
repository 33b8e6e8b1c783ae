"""The digest side of a conversation: which challenges are answered, with what, and when that is hopeless."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.sip import digest
from wakerobin.core.sip.digest import Challenge
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Algorithm, Credentials, RealmKey, Secret

_CNONCE_OCTETS = 8
_MOST_STALE = 2
_MOST_KEPT = 4

_Space: TypeAlias = tuple[bool, str]
"""Whose realm: a proxy's or the registrar's, and its name."""


class Verdict(enum.Enum):
    """What a 401 or 407 means for us."""

    ANSWERABLE = "answerable"
    WRONG = "wrong"
    """A fresh nonce was answered, and the answer was not taken: the password is wrong."""
    UNKNOWN_REALM = "unknown-realm"
    """It asks for realms, or algorithms, that we hold nothing for."""
    HOPELESS = "hopeless"
    """It asks for nothing that can be answered, or calls every nonce stale."""


@dataclass(frozen=True, slots=True)
class KeptNonce:
    """A challenge that was answered, for the next request: then no new challenge is needed."""

    challenge: Challenge
    count: int
    cnonce: str
    """Empty where the next request takes a new one."""


@dataclass(slots=True)
class _Answered:
    kept: KeptNonce
    is_fresh: bool
    """Whether its challenge came in this conversation."""
    stale: int = 0


class Answers:
    """Answers the challenges of one conversation from an account's credentials.

    `kept` are the nonces of an earlier one. A fresh nonce is answered once (more often only where the
    peer calls it stale, and not for ever): a wrong password must not look like guessing.
    """

    __slots__ = ("_answered", "_credentials", "_entropy", "_keys", "asked", "has_answered")

    def __init__(self, credentials: Credentials, kept: Iterable[KeptNonce], entropy: Entropy) -> None:
        self._credentials = credentials
        self._entropy = entropy
        self._keys: dict[tuple[str, Algorithm], str] = {}
        self._answered: dict[_Space, _Answered] = {
            (one.challenge.proxy, one.challenge.realm): _Answered(one, is_fresh=False) for one in kept
        }
        self.asked: list[str] = []
        """The realms that were asked for in this conversation, in order."""
        self.has_answered = False
        """Whether a challenge of this conversation was answered."""

    def headers(self, method: str, uri: str, body: bytes = b"") -> list[tuple[str, str]]:
        """Return the Authorization headers of the next request; each use counts the nonces up."""
        return [
            ("Proxy-Authorization" if proxy else "Authorization", self._value(one, method, uri, body))
            for (proxy, _), one in self._answered.items()
        ]

    def take(self, response: Message) -> Verdict:
        """Take a 401 or 407."""
        spaces: dict[_Space, list[Challenge]] = {}
        for challenge in digest.challenges(response):
            spaces.setdefault((challenge.proxy, challenge.realm), []).append(challenge)
        if not spaces:
            return Verdict.HOPELESS
        chosen: list[tuple[_Space, Challenge]] = []
        for space, offered in spaces.items():
            if space[1] not in self.asked:
                self.asked.append(space[1])
            best = digest.strongest([one for one in offered if self._key(one) is not None])
            if best is not None:
                chosen.append((space, best))
        verdicts = [self._answer(space, challenge) for space, challenge in chosen]
        if len(verdicts) == 1:
            return verdicts[0]
        return max(verdicts, key=_worst) if verdicts else Verdict.UNKNOWN_REALM

    def accepted(self) -> Challenge | None:
        """Return the challenge whose answer counted last: the registrar's own before a proxy's."""
        first: Challenge | None = None
        for one in self._answered.values():
            challenge = one.kept.challenge
            if first is None or (first.proxy and not challenge.proxy):
                first = challenge
        return first

    def kept(self, response: Message) -> tuple[KeptNonce, ...]:
        """Return the nonces that the next conversation may begin with, after this 2xx."""
        if_proxy = not response.has("Authentication-Info")
        has_news = not if_proxy or response.has("Proxy-Authentication-Info")
        following = digest.next_nonce(response) if has_news else None
        kept: list[KeptNonce] = []
        for (proxy, _), one in self._answered.items():
            nonce = one.kept
            if following is not None and proxy is if_proxy:
                nonce = KeptNonce(replace(nonce.challenge, nonce=following, stale=False), 0, "")
            kept.append(nonce)
        return tuple(kept[:_MOST_KEPT])

    def keys(self) -> tuple[RealmKey, ...]:
        """Return the HA1s for every realm that was asked: of a password in both algorithms."""
        if self._credentials.password is None:
            return tuple(key for key in self._credentials.keys if key.realm in self.asked)
        return tuple(
            RealmKey(realm, algorithm, Secret(self._ha1(realm, algorithm) or ""))
            for realm in self.asked
            for algorithm in Algorithm
        )

    def _answer(self, space: _Space, challenge: Challenge) -> Verdict:
        """Take over a challenge, unless it says that our answer was wrong."""
        before = self._answered.get(space)
        stale = 0
        if before is not None and before.is_fresh:
            if not challenge.stale:
                return Verdict.WRONG
            stale = before.stale + 1
            if stale > _MOST_STALE:
                return Verdict.HOPELESS
        self._answered[space] = _Answered(KeptNonce(challenge, 0, ""), is_fresh=True, stale=stale)
        self.has_answered = True
        return Verdict.ANSWERABLE

    def _value(self, one: _Answered, method: str, uri: str, body: bytes) -> str:
        challenge = one.kept.challenge
        # With -sess the client's nonce is part of the session and stays (RFC 7616 3.4.2).
        is_same = challenge.session and one.kept.cnonce
        cnonce = one.kept.cnonce if is_same else hex_token(self._entropy, _CNONCE_OCTETS)
        count = one.kept.count + 1
        one.kept = KeptNonce(challenge, count, cnonce if challenge.session else "")
        return digest.answer(
            challenge,
            username=self._credentials.username,
            ha1=self._key(challenge) or "",
            method=method,
            uri=uri,
            nc=count,
            cnonce=cnonce,
            body=body,
        )

    def _key(self, challenge: Challenge) -> str | None:
        return self._ha1(challenge.realm, kept_algorithm(challenge.algorithm))

    def _ha1(self, realm: str, algorithm: Algorithm) -> str | None:
        known = self._keys.get((realm, algorithm))
        if known is not None:
            return known
        held = self._credentials.key(realm, algorithm)
        if held is not None:
            made = held.reveal()
        elif self._credentials.password is not None:
            password = self._credentials.password.reveal()
            used = digest.Algorithm(algorithm.value)
            made = digest.ha1(used, self._credentials.username, realm, password)
        else:
            return None
        self._keys[realm, algorithm] = made
        return made


def kept_algorithm(algorithm: digest.Algorithm) -> Algorithm:
    """Return the name under which an HA1 of this algorithm is kept."""
    return _KEPT[algorithm]


_KEPT = {algorithm: Algorithm(algorithm.value) for algorithm in digest.Algorithm}


def _worst(verdict: Verdict) -> int:
    return (Verdict.ANSWERABLE, Verdict.HOPELESS, Verdict.WRONG).index(verdict)
