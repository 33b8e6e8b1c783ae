"""How a REGISTER conversation ended. Outcomes are values; the words are for people and ours alone."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from wakerobin.core.binding.answers import KeptNonce
from wakerobin.core.values import Algorithm, RealmKey


@dataclass(frozen=True, slots=True)
class Accepted:
    """The challenge whose answer was accepted, and the HA1s for every realm asked on the way."""

    realm: str
    algorithm: Algorithm
    keys: tuple[RealmKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The registrar holds our Contact for `granted_s` more seconds."""

    granted_s: int
    is_listed: bool
    """Whether its answer listed our Contact as ours; some PBXs rewrite or leave it out."""
    others: int
    """How many other contacts the account has there: desk phones."""
    leftovers: tuple[str, ...] = ()
    """Contacts of ours beside the present one, from an address that we had before."""
    service_route: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    seen: tuple[str, int | None] | None = None
    """The address and, over UDP, the port that our REGISTER came from, as the answer says."""
    kept: tuple[KeptNonce, ...] = ()
    accepted: Accepted | None = None
    """None where nothing was asked in this conversation, or by anyone."""


@dataclass(frozen=True, slots=True)
class Removed:
    """Our Contact is no longer there."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What the registrar listed."""

    is_there: bool
    others: int
    kept: tuple[KeptNonce, ...] = ()


class Refusal(enum.Enum):
    """Why an account is refused."""

    WRONG = "wrong"
    """401 or 407 to a right answer's form: the password is wrong."""
    FORBIDDEN = "forbidden"
    """403: the password is wrong, or the PBX allows no more devices; Asterisk and Kamailio differ."""
    FULL = "full"
    """The password is right, and there is no room for another contact (Kamailio says so with a 503)."""
    UNKNOWN = "unknown"
    """404 and its like: there is no such account."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The registrar refuses this account."""

    why: Refusal
    status: int


@dataclass(frozen=True, slots=True)
class RealmUnknown:
    """It asks for a realm, or an algorithm, that we hold nothing for."""

    realms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComeLater:
    """It has no time now; `retry_after_s` is what it asked for, None if it did not say."""

    status: int
    retry_after_s: int | None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Its answer is not one of a registrar that can serve us."""

    reason: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No answer came; `reason` says how it failed."""

    reason: str
    is_refused: bool = False
    """Its machine was there and took no connection, or ended it: a PBX that is started again does that."""


Outcome: TypeAlias = Bound | Removed | Looked | Refused | RealmUnknown | ComeLater | Unusable | Unreachable
