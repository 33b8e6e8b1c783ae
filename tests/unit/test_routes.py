"""Our Record-Routes: made in pairs, known again by their token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import RouteToken, Side, TokenKeys
from wakerobin.core.values import Flow, PhoneFlow, Transport
from wakerobin.services.phones.routes import Address, RecordRoutes, seen_address

KEYS = TokenKeys(b"a key of sixteen octets")
US = ("198.51.100.1", 5060)
PBX_SIDE = Address("192.168.1.9", 5062, Transport.UDP)


def is_listener(host: str, port: int | None) -> bool:
    return (host, port or 5060) == US


def routes(public: str = "") -> RecordRoutes:
    return RecordRoutes(KEYS, is_listener, public)


def phone(
    registration: int = 7, transport: Transport = Transport.UDP, local: tuple[str, int] = US
) -> PhoneFlow:
    return PhoneFlow(
        account_id=3,
        registration_id=registration,
        flow=Flow(transport, local, ("203.0.113.5", 40000), int(transport.is_reliable)),
        contact_uri="sip:alice@192.168.7.7:5060",
        heard_at=0.0,
        expires_at=300.0,
    )


def pair(made: tuple[str, str]) -> tuple[SipUri, SipUri]:
    return SipUri.parse(made[0]), SipUri.parse(made[1])


def test_each_side_gets_the_address_under_which_it_reaches_us() -> None:
    pbx, handset = pair(routes().pair(phone(transport=Transport.TCP), PBX_SIDE))
    assert (pbx.host, pbx.port, pbx.param("transport")) == ("192.168.1.9", 5062, None)
    assert (handset.host, handset.port, handset.param("transport")) == (*US, "tcp")
    assert pbx.has_param("lr")
    assert handset.has_param("lr")


def test_the_public_name_is_for_phones_only() -> None:
    pbx, handset = pair(routes("push.example.com").pair(phone(), PBX_SIDE))
    assert (pbx.host, handset.host) == ("192.168.1.9", "push.example.com")


def test_an_ipv6_address_has_its_brackets() -> None:
    six = Address("2001:db8::1", 5060, Transport.TCP)
    pbx, handset = pair(routes().pair(phone(local=("2001:db8::2", 5060)), six))
    assert (pbx.host, handset.host) == ("[2001:db8::1]", "[2001:db8::2]")


def test_the_tokens_say_side_account_and_installation() -> None:
    ours = routes()
    pbx, handset = pair(ours.pair(phone(), PBX_SIDE))
    assert ours.read(pbx) == RouteToken(Side.PBX, 3, installation=7)
    assert ours.read(handset) == RouteToken(Side.PHONE, 3, installation=7) == ours.token(phone())
    assert len(pbx.user) <= 32


def test_a_phone_without_registration_has_a_number_that_stays_when_it_moves() -> None:
    ours = routes()
    here = phone(registration=0)
    moved = replace(here, flow=Flow(Transport.TCP, US, ("192.0.2.9", 1234), 99))
    pbx, _ = pair(ours.pair(here, PBX_SIDE))
    token = ours.read(pbx)
    assert token == RouteToken(Side.PBX, 3, flow=ours.installation_number(moved))
    assert len(pbx.user) <= 32
    other = replace(here, contact_uri="sip:alice@192.168.7.8")
    assert ours.installation_number(other) != ours.installation_number(here)
    assert ours.installation_number(replace(here, account_id=4)) != ours.installation_number(here)


def test_a_token_is_ours_behind_any_host_and_no_other_user_part_is() -> None:
    ours = routes()
    pbx, _ = pair(ours.pair(phone(), PBX_SIDE))
    assert ours.is_ours(replace(pbx, host="10.9.8.7", port=1))
    assert not ours.is_ours(replace(pbx, user="alice", host=US[0], port=US[1]))
    assert ours.is_here(replace(pbx, user="alice", host=US[0], port=US[1]))
    elsewhere = RecordRoutes(TokenKeys(b"another key of this size"), is_listener)
    assert not elsewhere.is_ours(pbx)


@pytest.mark.parametrize(
    ("uri", "is_ours"),
    [
        ("sip:198.51.100.1;lr", True),
        ("sip:198.51.100.1:5060;lr", True),
        ("sip:198.51.100.1:5070;lr", False),
        ("sip:Push.Example.com;lr", True),
        ("sip:push.example.com:5061;transport=tcp;lr", True),
        ("sip:198.51.100.2;lr", False),
    ],
)
def test_a_route_without_token_is_ours_by_its_host(uri: str, is_ours: bool) -> None:
    assert routes("push.example.com").is_ours(SipUri.parse(uri)) is is_ours


def test_the_pbx_s_side_remembers_where_the_pbx_was_seen() -> None:
    seen = Flow(Transport.UDP, US, ("203.0.113.77", 5080))
    pbx, handset = pair(routes().pair(phone(), PBX_SIDE, seen))
    assert seen_address([handset, pbx]) == ("203.0.113.77", 5080)
    assert seen_address([handset]) is None
    six = Flow(Transport.UDP, US, ("2001:db8::7", 5080))
    assert seen_address(pair(routes().pair(phone(), PBX_SIDE, six))) == ("2001:db8::7", 5080)


@pytest.mark.parametrize(
    "seen", ["", "x", "1.2.3.4", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "host:5060", "1.2.3.4:5x", ":5060"]
)
def test_a_spoilt_memory_is_none(seen: str) -> None:
    assert seen_address([SipUri.parse(f"sip:token@192.0.2.1;lr;seen={seen}")]) is None


def test_a_dialog_of_an_earlier_run_says_where_its_phone_was_and_one_of_this_run_does_not() -> None:
    before = RecordRoutes(KEYS, is_listener, run=b"run1")
    now = RecordRoutes(KEYS, is_listener, run=b"run2")
    made = pair(before.pair(phone(), PBX_SIDE))
    assert now.former_way(made, 3) == ("203.0.113.5", 40000)
    assert before.former_way(made, 3) is None, "a phone of this run that has no flow is gone"
    assert now.former_way(made, 4) is None, "it is sealed for its account"
    assert now.former_way(pair(before.pair(phone(transport=Transport.TCP), PBX_SIDE)), 3) is None
    moved = SipUri.parse(str(made[1]).partition(";at=")[0] + ";at=127.0.0.1:5060")
    assert now.former_way([moved], 3) is None


def test_a_token_that_was_known_is_judged_anew_after_a_renewal_of_the_keys() -> None:
    keys = TokenKeys(b"a key of sixteen octets")
    made = RecordRoutes(keys, is_listener)
    pbx, _ = pair(made.pair(phone(), PBX_SIDE))
    number = made.installation_number(phone(registration=0))
    assert made.read(pbx) is not None
    keys.renew(b"the key of the next month", (keys.current,))
    assert made.read(pbx) is not None
    keys.renew(b"the key of the next month", ())
    assert made.read(pbx) is None
    assert made.installation_number(phone(registration=0)) == number
