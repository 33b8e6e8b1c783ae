"""The registrar of the fake PBX: digest, contacts, and the odd things that real PBXs do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.sip import digest
from wakerobin.core.sip.digest import Algorithm
from wakerobin.core.sip.header import NameAddr, delta_seconds
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.uri import SipUri, equivalent
from wakerobin.core.values import Flow
from wakerobin.ports.clock import Clock

Answer = tuple[int, tuple[tuple[str, str], ...]]
"""A status and headers beside the usual ones."""

_ANSWER_HEADERS = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}


@dataclass(slots=True, kw_only=True)
class PbxRules:
    """What this PBX is like; a test changes it at any time."""

    realm: str = "pbx.test"
    algorithms: tuple[Algorithm, ...] = (Algorithm.MD5,)
    """Challenged with, in this order."""
    qop: bool = True
    asks: bool = True
    """False: it knows everyone by sight and asks for no password."""
    proxy_realm: str = ""
    """Where set, an edge in front asks first, with 407 in this realm."""
    is_always_stale: bool = False
    has_one_time_nonces: bool = False
    gives_next_nonce: bool = False
    wrong_password: int = 401
    """What a wrong password gets: 401 again (Asterisk) or 403 (Kamailio)."""
    min_expires: int = 0
    """Shorter wishes get 423."""
    max_expires: int = 3600
    grants_one_less: bool = False
    """Asterisk grants 599 of 600."""
    rewrites_contacts: bool = False
    """Asterisk's `rewrite_contact`: it keeps and lists the address that it saw."""
    lists_contacts: bool = True
    most_contacts: int = 10
    replaces_contacts: bool = False
    """Beyond `most_contacts` the oldest makes way (FreePBX); else it is `full`."""
    full: int = 403
    """What one contact too many gets: 403 (Asterisk), or 503 with its reason (Kamailio)."""
    refuses_looks: bool = False
    """A REGISTER without Contact gets 400."""
    service_route: str = ""
    is_silent: bool = False
    answers: dict[str, Answer] = field(default_factory=dict)
    """By user: what its REGISTERs get before any question."""
    answers_later: dict[str, Answer] = field(default_factory=dict)
    """By user: what its REGISTERs get after the right password."""
    logins: dict[str, str] = field(default_factory=dict)
    """By user: the digest user name where it is another."""
    silent_users: set[str] = field(default_factory=set)
    webrtc: bool = False
    """Its calls offer DTLS-SRTP with ICE, which browsers want (Asterisk's `webrtc=yes`)."""


@dataclass(slots=True)
class PbxContact:
    """A contact that the PBX holds."""

    uri: str
    params: dict[str, str | None]
    expires_at: float
    """Monotonic seconds."""
    flow: Flow
    call_id: str
    cseq: int
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenRegister:
    """A REGISTER as it came."""

    at: float
    user: str
    call_id: str
    cseq: int
    contacts: tuple[str, ...]
    expires: int | None
    has_answer: bool
    status: int
    """What it got; 0 for silence."""


class PbxRegistrar:
    """Answers REGISTERs and remembers contacts."""

    def __init__(self, users: Mapping[str, str], rules: PbxRules, clock: Clock, entropy: Entropy) -> None:
        self.users = dict(users)
        self.rules = rules
        self.seen: list[SeenRegister] = []
        self._clock = clock
        self._entropy = entropy
        self._contacts: dict[str, list[PbxContact]] = {}
        self._nonces: set[str] = set()

    def contacts(self, user: str) -> list[PbxContact]:
        """Return what would ring for a user now, the oldest first."""
        now = self._clock.monotonic()
        living = [contact for contact in self._contacts.get(user, []) if contact.expires_at > now]
        self._contacts[user] = living
        return list(living)

    def forget(self) -> None:
        """Lose all contacts and nonces, as a restart does."""
        self._contacts.clear()
        self._nonces.clear()

    def drop_flow(self, flow: Flow) -> None:
        """Lose the contacts that came over a connection which is no more."""
        for user, held in self._contacts.items():
            self._contacts[user] = [one for one in held if not flow.connection or one.flow != flow]

    def add_desk_phone(self, user: str, uri: str, flow: Flow, expires: float = 3600.0) -> None:
        """Register another phone of the user, which needs no password here."""
        contact = PbxContact(uri, {}, self._clock.monotonic() + expires, flow, uri, 1)
        self._store(user, contact)

    def register(self, request: Message, flow: Flow) -> Message | None:
        """Return the answer to a REGISTER; None for silence."""
        user = SipUri.parse(request.to.uri).user
        response = self._answer(request, user, flow)
        has_answer = request.has("Authorization") or request.has("Proxy-Authorization")
        self.seen.append(
            SeenRegister(
                self._clock.monotonic(),
                user,
                request.call_id,
                request.cseq.number,
                tuple(str(contact) for contact in request.contacts),
                request.expires,
                has_answer,
                response.status if response else 0,
            )
        )
        return response

    def challenge(self, request: Message, realm: str, header: str, *, stale: bool = False) -> Message:
        """Return a challenge in every algorithm of the rules."""
        headers: list[tuple[str, str]] = []
        for algorithm in self.rules.algorithms:
            nonce = hex_token(self._entropy)
            self._nonces.add(nonce)
            value = digest.challenge_value(realm, nonce, algorithm, stale=stale)
            headers.append((header, value if self.rules.qop else value.replace(', qop="auth"', "")))
        status = 401 if header == "WWW-Authenticate" else 407
        return self._respond(request, status, headers)

    def is_answered(self, request: Message, realm: str, header: str, user: str) -> bool | None:
        """Whether a request answers a challenge rightly; None if its nonce is not known (any more)."""
        for value in request.all(_ANSWER_HEADERS[header]):
            authorization = digest.parse_authorization(value)
            if authorization is None or authorization.realm != realm:
                continue
            if authorization.nonce not in self._nonces:
                return None
            if self.rules.has_one_time_nonces:
                self._nonces.discard(authorization.nonce)
            password = self.users.get(authorization.username)
            if password is None or authorization.username != self.rules.logins.get(user, user):
                return False
            ha1 = digest.ha1(authorization.algorithm, authorization.username, realm, password)
            return digest.verify(authorization, ha1=ha1, method=request.method, body=request.body)
        return None

    def _answer(self, request: Message, user: str, flow: Flow) -> Message | None:
        rules = self.rules
        if rules.is_silent or user in rules.silent_users:
            return None
        if user in rules.answers:
            status, headers = rules.answers[user]
            return self._respond(request, status, headers)
        if user not in self.users:
            return self._respond(request, 404)
        refusal = self._authenticate(request, user)
        if refusal is not None:
            return refusal
        if user in rules.answers_later:
            status, headers = rules.answers_later[user]
            return self._respond(request, status, headers)
        return self._bind(request, user, flow)

    def _authenticate(self, request: Message, user: str) -> Message | None:
        rules = self.rules
        stages = [("Proxy-Authenticate", rules.proxy_realm)] if rules.proxy_realm else []
        stages += [("WWW-Authenticate", rules.realm)] if rules.asks else []
        for header, realm in stages:
            has_tried = any(f'realm="{realm}"' in value for value in request.all(_ANSWER_HEADERS[header]))
            verdict = self.is_answered(request, realm, header, user)
            if has_tried and rules.is_always_stale:
                return self.challenge(request, realm, header, stale=True)
            if verdict is None:
                return self.challenge(request, realm, header, stale=has_tried)
            if not verdict and rules.wrong_password == 401:
                return self.challenge(request, realm, header)
            if not verdict:
                return self._respond(request, rules.wrong_password)
        return None

    def _bind(self, request: Message, user: str, flow: Flow) -> Message:
        if self.rules.refuses_looks and not request.has("Contact"):
            return self._respond(request, 400)
        header = request.expires
        for contact in request.contacts:
            asked = delta_seconds(contact.params.get("expires") or "")
            wanted = asked if asked is not None else header if header is not None else 3600
            if 0 < wanted < self.rules.min_expires:
                return self._respond(request, 423, [("Min-Expires", str(self.rules.min_expires))])
            if not self._take(request, user, contact, wanted, flow):
                reason = [("P-Registrar-Error", "Too many registered contacts")]
                return self._respond(request, self.rules.full, reason if self.rules.full == 503 else [])
        return self._respond(request, 200, self._listed(user))

    def _take(self, request: Message, user: str, contact: NameAddr, wanted: int, flow: Flow) -> bool:
        held = self.contacts(user)
        if contact.uri == "*":
            self._contacts[user] = []
            return True
        uri = _rewritten(contact.uri, flow) if self.rules.rewrites_contacts else contact.uri
        others = [one for one in held if not equivalent(one.uri, uri)]
        self._contacts[user] = others
        if wanted == 0:
            return True
        granted = min(wanted, self.rules.max_expires) - (1 if self.rules.grants_one_less else 0)
        is_full = len(others) >= self.rules.most_contacts
        if is_full and not self.rules.replaces_contacts:
            self._contacts[user] = held
            return False
        expires_at = self._clock.monotonic() + granted
        params = {name: value for name, value in contact.params.items() if name != "expires"}
        path = tuple(request.values("Path"))
        made = PbxContact(uri, params, expires_at, flow, request.call_id, request.cseq.number, path)
        self._store(user, made)
        return True

    def _store(self, user: str, contact: PbxContact) -> None:
        held = [one for one in self.contacts(user) if one.uri != contact.uri]
        if self.rules.replaces_contacts:
            held = held[max(0, len(held) + 1 - self.rules.most_contacts) :]
        self._contacts[user] = [*held, contact]

    def _listed(self, user: str) -> list[tuple[str, str]]:
        now = self._clock.monotonic()
        headers: list[tuple[str, str]] = []
        if self.rules.lists_contacts:
            for contact in self.contacts(user):
                left = max(0, round(contact.expires_at - now))
                listed = NameAddr("", contact.uri, {**contact.params, "expires": str(left)})
                headers.append(("Contact", str(listed)))
        if self.rules.service_route:
            headers.append(("Service-Route", self.rules.service_route))
        if self.rules.gives_next_nonce:
            nonce = hex_token(self._entropy)
            self._nonces.add(nonce)
            headers.append(("Authentication-Info", f'nextnonce="{nonce}"'))
        return headers

    def _respond(
        self, request: Message, status: int, headers: list[tuple[str, str]] | tuple[tuple[str, str], ...] = ()
    ) -> Message:
        return respond(request, status, to_tag=hex_token(self._entropy, 6), headers=headers)


def _rewritten(uri: str, flow: Flow) -> str:
    parsed = SipUri.parse(uri)
    host, port = flow.remote
    shown = f"[{host}]" if ":" in host else host
    return f"sip:{parsed.user}@{shown}:{port};transport={flow.transport.value}"
