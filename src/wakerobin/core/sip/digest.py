"""Digest authentication, both ends of it (RFC 3261 22.4, RFC 8760; RFC 7616 with RFC 2617's MD5).

We answer a PBX's challenges and check a phone's answers to ours, from HA1 values: passwords are not
needed here but for `ha1` itself. Offers of others that we do not know are passed over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.ids import same
from wakerobin.core.sip.grammar import quote
from wakerobin.core.sip.header import auth_params, auth_params_all
from wakerobin.core.sip.message import Message

AUTH = "auth"
AUTH_INT = "auth-int"

_SESSION = "-SESS"
_NC = re.compile(r"[0-9A-Fa-f]{8}")
_LOWER_HEX = re.compile(r"[0-9a-f]+")
_CHALLENGE_HEADERS = (("WWW-Authenticate", False), ("Proxy-Authenticate", True))
_INFO_HEADERS = ("Authentication-Info", "Proxy-Authentication-Info")


class Algorithm(Enum):
    """The hash functions that are spoken in SIP, the weakest first."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"

    @property
    def wire(self) -> str:
        """The name in SIP messages."""
        return self.value

    @property
    def strength(self) -> int:
        """The length of the hash in octets: what is longer is stronger."""
        return 16 if self is Algorithm.MD5 else 32

    def hash(self, text: str | bytes) -> str:
        """Return the hash in lower-case hexadecimal; text counts as the octets it was received as."""
        octets = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        if self is _MD5:
            return hashlib.md5(octets, usedforsecurity=False).hexdigest()
        return hashlib.sha256(octets).hexdigest()


_MD5 = Algorithm.MD5  # read as a member of its class, Python 3.11 takes longer to find it than to hash
_NAMED = {
    f"{algorithm.wire}{suffix}": (algorithm, bool(suffix))
    for algorithm in Algorithm
    for suffix in ("", _SESSION)
}
_WIRE = {
    (algorithm, session): name.replace(_SESSION, "-sess") for name, (algorithm, session) in _NAMED.items()
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a peer asks for. `session` is the -sess variant; `qop` holds what we know of its offer.

    An empty `qop` means that none was offered, as before RFC 2617. `opaque` is None without one.
    """

    realm: str
    nonce: str
    algorithm: Algorithm = Algorithm.MD5
    session: bool = False
    opaque: str | None = None
    qop: tuple[str, ...] = ()
    stale: bool = False
    proxy: bool = False


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a peer answers. `qop` is "" without one; `nc` is then 0 and `cnonce` may be "".

    `nc_text` is the count as it was sent, which is what the hash covers.
    """

    username: str
    realm: str
    nonce: str
    uri: str
    response: str = field(repr=False)
    algorithm: Algorithm = Algorithm.MD5
    session: bool = False
    qop: str = ""
    nc: int = 0
    cnonce: str = ""
    opaque: str | None = None
    nc_text: str = ""


def challenges(response: Message) -> list[Challenge]:
    """Return the Digest challenges of a 401 or 407 that we can answer, WWW- before Proxy-.

    Other schemes, unknown algorithms, unknown protections and nonsense are left out.
    """
    found: list[Challenge] = []
    for header, proxy in _CHALLENGE_HEADERS:
        for line in response.all(header):
            for params in _digest_params(line):
                challenge = _challenge(params, proxy=proxy)
                if challenge is not None:
                    found.append(challenge)
    return found


def strongest(offered: Sequence[Challenge]) -> Challenge | None:
    """Return the challenge of the strongest algorithm, the first of equals; None if there is none.

    A response that went through a forking proxy may ask for several realms, and each wants its
    answer (22.3): sort by realm and by `proxy` first.
    """
    if len(offered) < 2:
        return offered[0] if offered else None
    return max(offered, key=lambda challenge: challenge.algorithm.strength)


def ha1(algorithm: Algorithm, username: str, realm: str, password: str) -> str:
    """Return H(username:realm:password), which is as good as the password in this realm."""
    return algorithm.hash(f"{username}:{realm}:{password}")


def answer(  # noqa: PLR0913 - the inputs of RFC 7616 3.4, all by name
    challenge: Challenge,
    *,
    username: str,
    ha1: str,
    method: str,
    uri: str,
    nc: int,
    cnonce: str,
    body: bytes = b"",
) -> str:
    """Return the value of the Authorization (or Proxy-Authorization) that answers a challenge.

    `ha1` is of the challenge's algorithm and realm. `nc` begins at 1 with a new nonce and grows by 1;
    for -sess, `cnonce` stays the same while the nonce does (RFC 7616 3.4.2).
    """
    algorithm, session, nonce = challenge.algorithm, challenge.session, challenge.nonce
    qop = _preferred(challenge.qop)
    nc_text = f"{nc:08x}"
    secret = algorithm.hash(f"{ha1}:{nonce}:{cnonce}") if session else ha1
    request = _hashed_request(algorithm, method, uri, body if qop == AUTH_INT else None)
    protection = f"{nonce}:{nc_text}:{cnonce}:{qop}" if qop else nonce
    text = (
        f"Digest username={quote(username)}, realm={quote(challenge.realm)}, nonce={quote(nonce)}, "
        f'uri={quote(uri)}, response="{algorithm.hash(f"{secret}:{protection}:{request}")}", '
        f"algorithm={_WIRE[algorithm, session]}"
    )
    if qop or session:
        text += f", cnonce={quote(cnonce)}"
    if qop:
        text += f", qop={qop}, nc={nc_text}"
    return text if challenge.opaque is None else f"{text}, opaque={quote(challenge.opaque)}"


def parse_authorization(value: str) -> Authorization | None:
    """Read the value of an Authorization; None if it is no Digest answer that could ever be right."""
    try:
        scheme, params = auth_params(value)
    except SipSyntaxError:
        return None
    known = _algorithm(params.get("algorithm"))
    protection = _protection(params)
    if scheme != "digest" or known is None or protection is None:
        return None
    if not all(name in params for name in ("username", "realm", "nonce", "uri", "response")):
        return None
    algorithm, session = known
    qop, nc_text = protection
    response, cnonce = params["response"], params.get("cnonce", "")
    if len(response) != 2 * algorithm.strength or _LOWER_HEX.fullmatch(response) is None:
        return None
    if session and not cnonce:
        return None
    return Authorization(
        username=params["username"],
        realm=params["realm"],
        nonce=params["nonce"],
        uri=params["uri"],
        response=response,
        algorithm=algorithm,
        session=session,
        qop=qop,
        nc=int(nc_text, 16) if nc_text else 0,
        cnonce=cnonce,
        opaque=params.get("opaque"),
        nc_text=nc_text,
    )


def verify(authorization: Authorization, *, ha1: str, method: str, body: bytes = b"") -> bool:
    """Tell in constant time whether an answer was made by somebody who knows the HA1.

    `ha1` must be the one of this user name, realm and algorithm. Whether the nonce is ours and its
    count new, and whether `uri` is that of the request, is for the caller to judge.
    """
    return same(authorization.response, _response(authorization, ha1, method, body))


def challenge_value(
    realm: str, nonce: str, algorithm: Algorithm, *, stale: bool = False, opaque: str = ""
) -> str:
    """Return the value of a WWW-Authenticate or Proxy-Authenticate of ours."""
    fields = [
        f"realm={quote(realm)}",
        f"nonce={quote(nonce)}",
        f"algorithm={algorithm.wire}",
        f'qop="{AUTH}"',
    ]
    if stale:
        fields.append("stale=true")
    if opaque:
        fields.append(f"opaque={quote(opaque)}")
    return "Digest " + ", ".join(fields)


def next_nonce(response: Message) -> str | None:
    """Return the nonce that a 2xx gives us for the next request (RFC 7616 3.5), or None."""
    for header in _INFO_HEADERS:
        for line in response.all(header):
            try:
                # The header has parameters only; they read like those behind a scheme.
                _, params = auth_params("Digest " + line)
            except SipSyntaxError:
                continue
            if params.get("nextnonce"):
                return params["nextnonce"]
    return None


def _digest_params(line: str) -> list[dict[str, str]]:
    try:
        return [params for scheme, params in auth_params_all(line) if scheme == "digest"]
    except SipSyntaxError:
        return []


def _challenge(params: dict[str, str], *, proxy: bool) -> Challenge | None:
    known = _algorithm(params.get("algorithm"))
    offered = params.get("qop", "")
    qop = _qop(offered) if offered else ()
    if known is None or "realm" not in params or "nonce" not in params or qop is None:
        return None
    algorithm, session = known
    return Challenge(
        realm=params["realm"],
        nonce=params["nonce"],
        algorithm=algorithm,
        session=session,
        opaque=params.get("opaque"),
        qop=qop,
        stale=params.get("stale", "").strip().lower() == "true",
        proxy=proxy,
    )


def _algorithm(name: str | None) -> tuple[Algorithm, bool] | None:
    """Return the algorithm and whether it is the -sess variant; MD5 where none is named."""
    return _NAMED.get(name.strip().upper()) if name else (_MD5, False)


def _qop(listed: str) -> tuple[str, ...] | None:
    """Return the offered protections that we know; None where something is offered, and none of these."""
    if listed == AUTH:
        return (AUTH,)
    offered = [token for token in re.split(r"[\s,]+", listed.lower()) if token]
    known = tuple(option for option in offered if option in (AUTH, AUTH_INT))
    return None if offered and not known else known


def _preferred(qop: tuple[str, ...]) -> str:
    # Session border controllers rewrite bodies, and auth-int would then fail: only where we must.
    if AUTH in qop or not qop:
        return AUTH if qop else ""
    return AUTH_INT


def _protection(params: dict[str, str]) -> tuple[str, str] | None:
    """Return qop and the count as sent, both "" for an answer without qop; None for nonsense."""
    qop, nc_text = params.get("qop", "").lower(), params.get("nc", "")
    if not qop:
        return "", ""
    if qop not in (AUTH, AUTH_INT) or _NC.fullmatch(nc_text) is None or "cnonce" not in params:
        return None
    return qop, nc_text


def _response(authorization: Authorization, ha1: str, method: str, body: bytes) -> str:
    """Compute `response` (RFC 7616 3.4.1 to 3.4.3)."""
    hashed = authorization.algorithm.hash
    nonce, cnonce, qop = authorization.nonce, authorization.cnonce, authorization.qop
    secret = hashed(f"{ha1}:{nonce}:{cnonce}") if authorization.session else ha1
    covered = body if qop == AUTH_INT else None
    request = _hashed_request(authorization.algorithm, method, authorization.uri, covered)
    if not qop:
        return hashed(f"{secret}:{nonce}:{request}")
    nc_text = authorization.nc_text or f"{authorization.nc:08x}"
    return hashed(f"{secret}:{nonce}:{nc_text}:{cnonce}:{qop}:{request}")


def _hashed_request(algorithm: Algorithm, method: str, uri: str, body: bytes | None) -> str:
    """Compute H(A2); `body` where it is covered."""
    covered = "" if body is None else f":{algorithm.hash(body)}"
    return algorithm.hash(f"{method}:{uri}{covered}")
