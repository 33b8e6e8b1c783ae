"""Every counter, gauge and histogram of the server, for Prometheus.

Rooms write `metrics.PUSHES.labels(…).inc()`; the web shows `REGISTRY`. Labels take few values: never
an account, an address or anything else that a peer chooses.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_PREFIX = "wakerobin"
_FAST = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_HUMAN = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0)

_DELAYS = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0, 6 * 3600.0, 24 * 3600.0)


def _counter(name: str, help_: str, *labels: str) -> Counter:
    return Counter(name, help_, labels, namespace=_PREFIX, registry=REGISTRY)


def _gauge(name: str, help_: str, *labels: str) -> Gauge:
    return Gauge(name, help_, labels, namespace=_PREFIX, registry=REGISTRY)


class Tally:
    """How many there are of something that comes and goes thousands of times a second.

    Shown by its gauge, which asks for it only then: counting costs a tenth of what the gauge's lock costs.
    """

    __slots__ = ("count",)

    def __init__(self, gauge: Gauge) -> None:
        self.count = 0
        gauge.set_function(lambda: self.count)


def _histogram(name: str, help_: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, help_, labels, namespace=_PREFIX, registry=REGISTRY, buckets=buckets)


FAULTS = _counter("faults", "Exceptions that a room caught at its top and survived: each is a bug.", "room")

SIP_MESSAGES = _counter("sip_messages", "SIP messages that passed the edge check.", "transport")
SIP_REFUSED = _counter(
    "sip_refused", "What came over SIP sockets and was no message, by what became of it.", "outcome"
)
SIP_LOST = _counter("sip_lost", "Datagrams that the network refused to take.", "reason")
SIP_CONNECTIONS = _gauge("sip_connections", "SIP streams that are open.", "direction")
SIP_CONNECTIONS_REFUSED = _counter("sip_connections_refused", "SIP streams closed at once, by why.", "reason")
SIP_CONNECTIONS_EVICTED = _counter(
    "sip_connections_evicted", "SIP streams ended to make room for others, by what they were.", "kind"
)
SIP_HANDSHAKES = _gauge("sip_handshakes", "TLS handshakes of peers that are under way.")
SIP_SHED = _counter("sip_shed", "Datagrams dropped unread, since their sender has had its share.", "reason")
SIP_SLOWED = _counter("sip_slowed", "How often a SIP stream was not read for a while: it brought too much.")
SIP_BANS = _counter("sip_bans", "How often a source was shut out for a while.", "cause")
SIP_STUN = _counter("sip_stun", "STUN Binding requests that were answered.")
DNS_QUESTIONS = _counter("dns_questions", "Questions about PBXs: found, nothing there, unanswered.", "answer")
SIP_TARGETS_FAILED = _counter("sip_targets_failed", "Places of PBXs that were left for the next one.")
SIP_TRANSACTIONS = _gauge("sip_transactions", "SIP transactions that are alive.", "side")
SIP_UNANSWERED = _counter("sip_unanswered", "Requests of ours that had no final response.", "reason")
SIP_STRAYS = _counter("sip_strays", "Responses and CANCELs that no transaction awaited.", "kind")

REGISTERS = _counter("registers", "REGISTERs of ours at PBXs, by how they ended.", "outcome")
BINDINGS = _gauge("bindings", "Accounts by the state of their binding at the PBX.", "state")
PHONE_REGISTERS = _counter("phone_registers", "REGISTERs of phones, by the status they got.", "status")
PHONE_FLOWS = _gauge("phone_flows", "Flows on which a phone is registered.")
GUESTS = _gauge("guests", "Phones that have not enrolled and are registered at their PBX through us.")
GUEST_REGISTERS = _counter("guest_registers", "REGISTERs of such phones, by the status they got.", "status")
GUEST_REQUESTS = _counter("guest_requests", "Calls and other requests to them, by how they ended.", "outcome")

CALLS = _counter("calls", "Calls that ended, by how.", "outcome")
CALLS_HELD = _gauge("calls_held", "Calls that wait for a phone.")
CALL_WAKE = _histogram("call_wake_seconds", "From the INVITE to the first flow of a woken phone.", _HUMAN)
MESSAGES = _counter("messages", "Text messages and news of mailboxes, by what became of them.", "outcome")
RELAYED = _counter("relayed", "Requests within dialogs and from phones that were passed on.", "outcome")

PUSHES = _counter("pushes", "Pushes by what the push service said.", "app", "provider", "lane", "outcome")
PUSH_SECONDS = _histogram(
    "push_seconds", "From one try of a push to the service's answer.", _FAST, "provider", "lane"
)
PUSH_DELAY_SECONDS = _histogram(
    "push_delay_seconds", "From the decision to push until it was accepted.", _DELAYS, "provider", "lane"
)
PUSH_PAUSED = _gauge(
    "push_paused", "Push services that are not asked but for a probe now and then.", "app", "provider"
)
PUSH_REFUSED_IN_BULK = _counter(
    "push_refused_in_bulk",
    "How often so many tokens were refused at once that our settings must be wrong.",
    "app",
    "provider",
)
PUSHES_TOGETHER = _counter(
    "pushes_together", "Pushes that were not sent because another account's of the phone named them.", "app"
)
PUSH_CONNECTIONS = _gauge("push_connections", "Connections to push services that are open.", "provider")
PUSHES_SHOWING_NOTHING = _counter(
    "pushes_showing_nothing", "Pushes that a browser would have shown nothing for, not sent: a bug.", "type"
)
PUSH_CERTIFICATE_EXPIRES = _gauge(
    "push_certificate_expires_seconds", "When an app's push certificate expires, seconds since 1970.", "topic"
)

LIVES = _gauge("lives", "Push registrations by `living` or the reason of their end.", "state")
LIVES_USED = _counter("lives_used", "Uses of the app that renewed a life, by kind.", "cause")
LIVES_ENDED = _counter("lives_ended", "Lives that ended, by reason.", "reason")
LIVES_TALLIED = _gauge(
    "lives_tallied", "What became of lives in the last 30 days.", "app", "platform", "tally"
)
CLOCK_STEP = _gauge("clock_step_seconds", "By how much the wall clock is in doubt; 0: it is believed.")
TROUBLES = _gauge("troubles", "Accounts that their PBX refuses, or that cannot reach it.", "cause")
RECEIPTS = _counter("receipts", "What phones reported of pushes.", "kind")

COMMIT_SECONDS = _histogram("commit_seconds", "One COMMIT of the store.", _FAST)
WORKS = _counter(
    "works",
    "Works of the store: `done`, `failed` by their own fault, or `refused` where it cannot write.",
    "outcome",
)

HTTP_REQUESTS = _counter("http_requests", "Requests of the API by route and status.", "route", "status")
ENROLMENTS = _counter("enrolments", "Enrolments by how they ended.", "outcome")
