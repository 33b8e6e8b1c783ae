"""Which accounts an app may enrol, and how often offered credentials are compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.contract.stores import account
from wakerobin.core.sip.targets import Candidate, Destination, Target
from wakerobin.core.values import Duration, Provider, Purpose, Secret, Transport
from wakerobin.ports.options import ApnsOptions, AppOptions, LifetimeOptions
from wakerobin.services.enrolment import EnrolRequest, Refusal, TargetRequest
from wakerobin.services.enrolment.admission import (
    Named,
    asked_of_dns,
    conflicts,
    lifetime_of,
    normal_aor,
    normal_registrar,
    refusal_of_registrar,
    transport_of,
)
from wakerobin.services.enrolment.guesses import MOST_ACCOUNTS, Guesses

APP = AppOptions(
    registrars=("pbx.example", "*.pbx.example", "192.168.1.0/24"), apns=ApnsOptions(topic="com.example.phone")
)
CALL = TargetRequest(provider=Provider.APNS, purposes=frozenset({Purpose.CALL}), token=Secret("ab" * 32))


def request(**changes: Any) -> EnrolRequest:
    return replace(
        EnrolRequest(app="phone", aor="sip:a@pbx.example", targets=(CALL,), installation_id="x"), **changes
    )


def problem(refusal: object) -> str:
    return refusal.problem if isinstance(refusal, Refusal) else ""


@pytest.mark.parametrize(
    ("text", "aor"),
    [
        ("sip:anna@PBX.Example", "sip:anna@pbx.example"),
        ("SIP:Anna@pbx.example", "sip:Anna@pbx.example"),
        ("sip:anna@pbx.example:5070;transport=tcp?x=y", "sip:anna@pbx.example"),
        ("sips:anna@pbx.example", "sip:anna@pbx.example"),
        ("sip:anna:password@pbx.example", "sip:anna@pbx.example"),
        ("sip:%61nna@pbx.example", "sip:anna@pbx.example"),
        ("sip:anna@pbx.example.", "sip:anna@pbx.example"),
        ("sip:anna@[2001:DB8:0::1]", "sip:anna@[2001:db8::1]"),
        ("sip:an%3ana@pbx.example", "sip:an%3Ana@pbx.example"),
    ],
)
def test_an_address_is_normalised(text: str, aor: str) -> None:
    assert normal_aor(text) == aor


@pytest.mark.parametrize(
    "text",
    [
        "<sip:anna@pbx.example>",
        "anna",
        "tel:+49301234",
        "sip:pbx.example",
        "sip:@pbx.example",
        "sip:anna@",
        "",
    ],
)
def test_what_is_no_address_of_a_user_is_refused(text: str) -> None:
    assert problem(normal_aor(text)) == "invalid-field"


@pytest.mark.parametrize("text", ["", "PBX.example", "pbx.example:5060", "[2001:db8::1]:5060", "10.0.0.1"])
def test_a_registrar_is_a_host_with_or_without_a_port(text: str) -> None:
    assert normal_registrar(text) == text.lower()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pbx.example.", "pbx.example"),
        ("pbx.example.:05062", "pbx.example:5062"),
        ("[2001:DB8:0::1]:5062", "[2001:db8::1]:5062"),
    ],
)
def test_one_registrar_has_one_spelling(text: str, expected: str) -> None:
    assert normal_registrar(text) == expected


@pytest.mark.parametrize(
    ("held", "asked", "is_other"),
    [
        ("", "", False),
        ("", "pbx.example", False),
        ("pbx.example:5060", "", False),
        ("pbx.example", "pbx.example:5060", False),
        ("pbx.example:5062", "pbx.example:5060", True),
        ("", "other.example", True),
        ("[::1]", "[::1]:5060", False),
    ],
)
def test_only_another_registrar_of_a_proven_account_is_a_conflict(
    held: str, asked: str, is_other: bool
) -> None:
    mine = account(aor="sip:a@pbx.example", registrar=held)
    assert conflicts(mine, asked) is is_other
    assert not conflicts(replace(mine, proven=False), asked), "anybody can claim what nobody has proven"


@pytest.mark.parametrize(
    "text",
    [
        "pbx.example:0",
        "pbx.example:65536",
        "sip:pbx.example",
        "a b",
        "pbx.example:",
        "x/y",
        "a\nb",
        "x" * 300,
    ],
)
def test_anything_else_is_no_registrar(text: str) -> None:
    assert problem(normal_registrar(text)) == "invalid-field"


@pytest.mark.parametrize(
    ("aor", "registrar", "proxy", "expected"),
    [
        ("sip:a@pbx.example", "", "", ""),
        ("sip:a@one.pbx.example", "", "", ""),
        ("sip:a@pbx.example", "192.168.1.7:5070", "sip:edge.pbx.example:5080;transport=tcp", ""),
        ("sip:a@elsewhere.example", "", "", "registrar-not-allowed"),
        ("sip:a@pbx.example", "192.168.2.7", "", "registrar-not-allowed"),
        ("sip:a@pbx.example", "", "sip:elsewhere.example", "registrar-not-allowed"),
        ("sip:a@pbx.example", "", "sip:edge.pbx.example@elsewhere.example", "registrar-not-allowed"),
        ("sip:a@pbx.example", "", "nonsense", "invalid-field"),
        ("sip:a@pbx.example", "", "sips:pbx.example", "registrar-unusable"),
        ("sip:a@notpbx.example", "", "", "registrar-not-allowed"),
    ],
)
def test_every_host_on_the_way_must_be_allowed(aor: str, registrar: str, proxy: str, expected: str) -> None:
    assert problem(refusal_of_registrar(APP, request(outbound_proxy=proxy), aor, registrar)) == expected


SAID = (
    Candidate(0, 1, "sip1.host.example", (Target("udp", "192.0.2.1", 5070, "pbx.example"),)),
    Candidate(1, 1, "sip2.host.example", (Target("udp", "2001:db8::2", 5080, "pbx.example"),)),
)


@pytest.mark.parametrize(
    ("registrar", "proxy", "expected"),
    [
        ("sip1.host.example", "", ""),
        ("sip1.host.example:5070", "", ""),
        ("192.0.2.1:5070", "sip:sip2.host.example:5080", ""),
        ("[2001:db8::2]", "sip:SIP1.host.example;transport=udp", ""),
        ("sip1.host.example:5071", "", "registrar-not-allowed"),
        ("sip1.host.example:5080", "", "registrar-not-allowed"),
        ("192.0.2.2:5070", "", "registrar-not-allowed"),
        ("host.example", "", "registrar-not-allowed"),
        ("", "sip:sip1.host.example:22", "registrar-not-allowed"),
        ("", "sip:sip1.host.example@elsewhere.example", "registrar-not-allowed"),
    ],
)
def test_hosts_that_dns_names_for_an_allowed_domain_are_allowed(
    registrar: str, proxy: str, expected: str
) -> None:
    asked = request(outbound_proxy=proxy)
    assert problem(refusal_of_registrar(APP, asked, "sip:a@pbx.example", registrar, SAID)) == expected
    refused = problem(refusal_of_registrar(APP, asked, "sip:a@elsewhere.example", registrar, SAID))
    assert refused == "registrar-not-allowed", "what DNS says of a domain that is not allowed allows nothing"


def test_dns_is_asked_for_allowed_domains_alone() -> None:
    mine = Named("sip:a@pbx.example", "sip1.host.example", Transport.TCP)
    assert asked_of_dns(APP, mine) == Destination("pbx.example", None, "tcp")
    assert asked_of_dns(APP, replace(mine, transport=None)) == Destination("pbx.example")
    assert asked_of_dns(APP, replace(mine, aor="sip:a@elsewhere.example")) is None


def test_an_app_without_registrars_enrols_nobody() -> None:
    closed = replace(APP, registrars=())
    assert problem(refusal_of_registrar(closed, request(), "sip:a@pbx.example", "")) == "enrolment-closed"


def test_udp_tcp_and_tls_are_spoken_to_pbxs_and_dns_chooses_where_nothing_is_said() -> None:
    assert [transport_of(text) for text in ("", "udp", "tcp", "tls")] == [
        None,
        Transport.UDP,
        Transport.TCP,
        Transport.TLS,
    ]
    assert problem(transport_of("ws")) == "registrar-unusable"


@pytest.mark.parametrize(
    ("asked_s", "own_ms", "granted_ms"),
    [
        (None, 5_000, 5_000),
        (10**9, 5_000, 20 * 3_600_000),
        (1, 5_000, 5_000),
        (1, 10 * 3_600_000, 3_600_000),
        (7_200, 10 * 3_600_000, 7_200_000),
        (10**9, 10 * 3_600_000, 20 * 3_600_000),
        (10**9, 30 * 3_600_000, 30 * 3_600_000),
    ],
)
def test_a_lifetime_stays_within_the_operators_bounds(
    asked_s: int | None, own_ms: int, granted_ms: int
) -> None:
    """An hour to twenty here; the app's own is always allowed."""
    options = LifetimeOptions(
        lifetime=Duration(own_ms), warnings=(Duration(1),), lifetime_max=Duration(20 * 3_600_000)
    )
    assert lifetime_of(replace(APP, lifetime=options), asked_s) == granted_ms


def guess(guesses: Guesses, account: int, now: float) -> bool:
    """Compare a wrong one, if that is allowed."""
    if not guesses.begin((account, ""), now):
        return False
    guesses.end((account, ""), now, is_wrong=True)
    return True


def test_after_three_wrong_comparisons_an_hour_has_to_pass() -> None:
    guesses = Guesses()
    assert [guess(guesses, 7, second) for second in range(4)] == [True, True, True, False]
    assert guess(guesses, 8, 3.0), "others are not concerned"
    assert not guess(guesses, 7, 3599.9)
    assert guess(guesses, 7, 3600.0), "the first wrong one is an hour ago"
    assert not guess(guesses, 7, 3600.5)


def test_guesses_at_the_same_time_count_before_their_answers_are_known() -> None:
    guesses = Guesses()
    assert [guesses.begin((7, ""), 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert guesses.begin((7, "a phone that is known"), 0.0)
    for _ in range(3):
        guesses.end((7, ""), 0.0, is_wrong=False)
    assert guesses.begin((7, ""), 0.0), "right ones cost nothing"


def test_the_accounts_that_are_remembered_are_bounded() -> None:
    guesses = Guesses()
    for number in range(MOST_ACCOUNTS + 10):
        guess(guesses, number, 0.0)
    assert len(guesses._accounts) == MOST_ACCOUNTS
    for number in range(MOST_ACCOUNTS + 10, MOST_ACCOUNTS + 20):
        assert guesses.begin((number, ""), 0.0)
        guesses.end((number, ""), 0.0, is_wrong=False)
    assert len(guesses._accounts) <= MOST_ACCOUNTS
