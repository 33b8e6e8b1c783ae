"""RFC 8599 as a proxy: what REGISTERs with push parameters get, and when phones are woken to refresh."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.guests import (
    MIN_EXPIRES_S,
    Guest,
    Offer,
    Passed,
    PushWish,
    Refused,
    decide,
    granted_s,
    guest_number,
    is_guest_number,
    is_same_contact,
    push_wish,
    read_register,
    refreshes,
    steps_behind,
    targets_at,
)
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Provider, Purpose, PushTarget, Secret

NOW = 1_800_000_000_000
TEAM, TOPIC, PROJECT = "DEF123GHIJ", "com.example.phone", "phone-12345"
VAPID = "BLVYfIFL1HmV"
TOKEN = "00fc13adff78512aabb"
APNS = Offer(app="phone", provider=Provider.APNS, team=TEAM, topic=TOPIC)
FCM = Offer(app="phone", provider=Provider.FCM, project=PROJECT)
WEB = Offer(app="phone", provider=Provider.WEBPUSH, vapid=VAPID)
ALL = [APNS, FCM, WEB]

VOIP = f";pn-provider=apns;pn-param={TEAM}.{TOPIC}.voip;pn-prid={TOKEN}"
GOOGLE = f";pn-provider=fcm;pn-param={PROJECT};pn-prid=dpZ0:APA91bF-x_Y"


def register(
    params: str = "", *, after: str = "", headers: tuple[tuple[str, str], ...] = (), contact: str = ""
) -> Message:
    lines = [
        ("From", "<sip:alice@pbx.example>;tag=1"),
        ("To", "<sip:alice@pbx.example>"),
        ("Call-ID", "1"),
        ("CSeq", "1 REGISTER"),
        ("Contact", contact or f"<sip:alice@192.0.2.4:5071{params}>{after}"),
        *headers,
    ]
    return Message.request("REGISTER", "sip:pbx.example", lines)


def wish(params: str) -> PushWish | None:
    return push_wish(SipUri.parse(f"sip:alice@192.0.2.4{params}"))


def verdict(params: str = "", offers: list[Offer] | None = None, **more: Any) -> Passed | Refused:
    return decide(read_register(register(params, **more)), ALL if offers is None else offers, NOW)


# The parameters, RFC 8599 8.7 and 10 to 12


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("", None),
        (";transport=tcp;ob", None),
        (";pn-provider", ("", "", "")),
        (";pn-provider=", ("", "", "")),
        (";pn-provider=fcm", ("fcm", "", "")),
        (";PN-Provider=FCM;Pn-Prid=aB", ("fcm", "", "aB")),
        (GOOGLE, ("fcm", PROJECT, "dpZ0:APA91bF-x_Y")),
        (GOOGLE.replace(":", "%3A"), ("fcm", PROJECT, "dpZ0:APA91bF-x_Y")),
        (
            ";pn-provider=webpush;pn-prid=https://p.example/%3fa%3Db",
            ("webpush", "", "https://p.example/?a=b"),
        ),
        (";pn-provider=x;pn-prid=%c3%bc", ("x", "", "ü")),
    ],
)
def test_the_push_parameters_of_a_contact_are_read(
    params: str, expected: tuple[str, str, str] | None
) -> None:
    found = wish(params)
    assert (found and (found.provider, found.param, found.prid.reveal())) == expected


@pytest.mark.parametrize(
    "params",
    [
        ";pn-prid=abc",
        ";pn-param=abc",
        ";pn-provider=fcm;pn-provider=apns;pn-prid=x",
        ";pn-provider=fcm;pn-prid=a;pn-prid=b",
        ";pn-provider=fcm;pn-prid=" + "a" * 4097,
        ";pn-provider=fcm;pn-prid=%ff",
        ";pn-provider=fcm;pn-prid=a%0d%0aEvil:",
        ";pn-provider=fcm;pn-prid=a%00",
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(params: str) -> None:
    with pytest.raises(SipSyntaxError) as refused:
        wish(params)
    assert refused.value.status == 400


@given(st.text(st.characters(exclude_characters='<>"', min_codepoint=33, max_codepoint=126), max_size=80))
def test_whatever_stands_in_a_contact_is_read_or_refused(text: str) -> None:
    try:
        uri = SipUri.parse(f"sip:alice@192.0.2.4;pn-provider=fcm;pn-prid={text}")
        found = push_wish(uri)
    except SipSyntaxError:
        return
    assert found is not None
    assert all(target.token for offer in ALL for target in targets_at(offer, found, NOW))


@pytest.mark.parametrize(
    ("offer", "params", "expected"),
    [
        (APNS, VOIP, [(TOKEN, "call", TOPIC)]),
        (APNS, VOIP.replace(".voip", ""), [(TOKEN, "notice", TOPIC)]),
        (
            APNS,  # linphone's two in one
            f";pn-provider=apns;pn-param={TEAM}.{TOPIC}.remote&voip;pn-prid=aa11:remote&bb22:voip",
            [("aa11", "notice", TOPIC), ("bb22", "call", TOPIC)],
        ),
        (APNS, VOIP.replace(TEAM, "ZZZ9999999"), []),
        (APNS, VOIP.replace(TOPIC, "com.example.other"), []),
        (APNS, VOIP.replace(TOKEN, "no-hexadecimal"), []),
        (APNS, VOIP.replace(TOKEN, "aa11:gadget"), []),
        (APNS, f";pn-provider=apns;pn-param={TEAM};pn-prid={TOKEN}", []),
        (replace(APNS, team="", topic=""), VOIP.replace(TEAM, "ZZZ9999999"), [(TOKEN, "call", TOPIC)]),
        (FCM, GOOGLE, [("dpZ0:APA91bF-x_Y", "call notice", "")]),
        (FCM, GOOGLE.replace(PROJECT, "929724111839"), [("dpZ0:APA91bF-x_Y", "call notice", "")]),
        (FCM, GOOGLE.replace(PROJECT, "another-project"), []),
        (WEB, ";pn-provider=webpush;pn-prid=https://p.example/1", [("https://p.example/1", "call", "")]),
        (WEB, ";pn-provider=webpush;pn-prid=http://p.example/1", []),
        (WEB, ";pn-provider=webpush;pn-param=x;pn-prid=https://p.example/1", []),
        (FCM, VOIP, []),
        (FCM, ";pn-provider=fcm", []),
    ],
)
def test_a_resource_is_pushed_by_the_app_that_it_belongs_to(
    offer: Offer, params: str, expected: list[tuple[str, str, str]]
) -> None:
    found = wish(params)
    assert found is not None
    targets = targets_at(offer, found, NOW)
    assert [(t.token.reveal(), " ".join(sorted(t.purposes)), t.topic) for t in targets] == expected


# REGISTER, RFC 8599 4.1, 5.6.1 and 8


CAP_APNS, CAP_FCM = '*;+sip.pns="apns"', '*;+sip.pns="fcm"'
CAP_WEB = f'*;+sip.pns="webpush";+sip.vapid="{VAPID}"'
TIMER = ";+sip.pnsreg"


@pytest.mark.parametrize(
    ("section", "params", "after", "expected"),
    [
        ("4.1.1", VOIP, "", (CAP_APNS,)),
        ("4.1.1", GOOGLE, "", (CAP_FCM,)),
        ("8.3", ";pn-provider=webpush;pn-prid=https://p.example/1", "", (CAP_WEB,)),
        ("4.1.4", VOIP, TIMER, (CAP_APNS + ';+sip.pnsreg="130"',)),
        ("8.4", ";pn-provider=webpush;pn-prid=https://p.example/1", TIMER, (CAP_WEB + ';+sip.pnsreg="130"',)),
        ("4.1.5", ";pn-provider", "", (CAP_APNS, CAP_FCM, CAP_WEB)),
        ("4.1.5", ";pn-provider=fcm", "", (CAP_FCM,)),
        ("4.1.5", ";pn-provider=fcm", TIMER, (CAP_FCM,)),
        ("4.1.5", ";pn-provider=pushy", "", ()),
        ("5.6.1", "", "", ()),
    ],
)
def test_a_2xx_says_what_there_is(section: str, params: str, after: str, expected: tuple[str, ...]) -> None:
    passed = verdict(params, after=after)
    assert isinstance(passed, Passed), section
    assert passed.capabilities == expected
    assert bool(passed.targets) is ("pn-prid" in params)


@pytest.mark.parametrize(
    ("section", "params", "after", "status"),
    [
        ("8.1", ";pn-provider=pushy;pn-prid=x", "", 555),
        ("8.1", VOIP.replace(TEAM, "ZZZ9999999"), "", 555),
        ("5.6.1.1", VOIP, ";expires=299", 423),
        ("5.6.1.1", GOOGLE, ";expires=1", 423),
    ],
)
def test_what_cannot_be_pushed_is_refused_at_once(section: str, params: str, after: str, status: int) -> None:
    refused = verdict(params, after=after)
    assert isinstance(refused, Refused), section
    assert refused.status == status
    assert refused.headers == ((("Min-Expires", str(MIN_EXPIRES_S)),) if status == 423 else ())


def test_the_shortest_binding_that_leaves_time_for_a_push_is_taken() -> None:
    assert isinstance(verdict(VOIP, after=f";expires={MIN_EXPIRES_S}"), Passed)
    assert isinstance(verdict(VOIP, headers=(("Expires", str(MIN_EXPIRES_S - 1)),)), Refused)
    assert isinstance(verdict(VOIP), Passed)  # it leaves it to the registrar


def test_a_contact_that_is_taken_back_is_pushed_no_more() -> None:  # 4.1.2
    passed = verdict(VOIP, after=";expires=0")
    assert passed == Passed(app="phone")


def test_a_push_service_that_is_not_ours_may_still_be_asked_to_leave() -> None:
    assert isinstance(verdict(";pn-provider=pushy;pn-prid=x", after=";expires=0"), Passed)


def test_where_a_proxy_nearer_to_the_phone_pushes_we_do_not() -> None:  # 5.6.1.1
    for value in ('*;+sip.pns="apns"', '* ; +sip.pns = "apns"'):
        passed = verdict(VOIP, headers=(("Feature-Caps", value),))
        assert passed == Passed(app="phone")


def test_two_apps_with_one_push_service_are_listed_once() -> None:  # 5.6.1.2
    passed = verdict(";pn-provider", offers=[APNS, replace(APNS, app="other"), FCM])
    assert isinstance(passed, Passed)
    assert passed.capabilities == (CAP_APNS, CAP_FCM)


def test_no_app_without_push_services_serves_anybody() -> None:
    assert isinstance(verdict(VOIP, offers=[]), Refused)
    assert verdict(";pn-provider", offers=[]) == Passed()


def test_the_app_is_found_by_the_resource() -> None:
    other = replace(APNS, app="other", topic="com.example.other")
    passed = verdict(VOIP.replace(TOPIC, "com.example.other"), offers=[APNS, other])
    assert isinstance(passed, Passed)
    assert passed.app == "other"


def test_several_contacts_of_one_register_cannot_be_pushed() -> None:
    two = f"<sip:alice@192.0.2.4{VOIP}>, <sip:alice@192.0.2.5>"
    with pytest.raises(SipSyntaxError):
        read_register(register(contact=two))
    assert read_register(register(contact="<sip:a@192.0.2.4>, <sip:a@192.0.2.5>")).contact is None


def test_contact_star_is_about_all() -> None:
    asked = read_register(register(contact="*", headers=(("Expires", "0"),)))
    assert asked.is_of_all
    assert asked.contact is None


# The answer of the PBX


@pytest.mark.parametrize(
    ("asked", "answer", "seconds"),
    [
        (";expires=600", [("Contact", f"<sip:alice@192.0.2.4:5071{VOIP}>;expires=500")], 500),
        (";expires=600", [("Contact", f"<sip:alice@10.0.0.1{VOIP}>;expires=500")], 500),
        (";expires=600", [("Contact", "<sip:desk@192.0.2.9>;expires=50"), ("Expires", "9")], 9),
        (";expires=600", [("Contact", "<sip:alice@10.0.0.1:5071>;expires=60")], 60),
        (";expires=0", [("Contact", "<sip:desk@192.0.2.9>;expires=50")], 0),
        (";expires=600", [("Contact", f"<sip:alice@192.0.2.4:5071{VOIP}>"), ("Expires", "120")], 120),
        (";expires=600", [], 600),
        ("", [], 3600),
        ("", [("Expires", "1800")], 1800),
        (";expires=0", [], 0),
        (";expires=600", [("Contact", "???")], 0),
    ],
)
def test_what_the_registrar_grants_counts(asked: str, answer: list[tuple[str, str]], seconds: int) -> None:
    request = read_register(register(VOIP, after=asked))
    assert granted_s(Message.response(200, headers=answer), request) == seconds


def test_contacts_are_the_same_by_their_resource() -> None:  # 5.3
    here, there = f"sip:alice@192.0.2.4{VOIP}", f"sip:alice@10.1.1.1:9{VOIP}"
    assert is_same_contact(here, there)
    assert not is_same_contact(here, there.replace(TOKEN, "bb"))
    assert not is_same_contact(here, "sip:alice@192.0.2.4")
    assert is_same_contact("sip:alice@192.0.2.4;x=1", "sip:alice@192.0.2.4")
    assert not is_same_contact("sip:alice@192.0.2.4;x=1", "?")


# Refreshes, 5.5


def guest(granted: int, *purposes: Purpose, **changes: Any) -> Guest:
    target = PushTarget(
        registration_id=0,
        provider=Provider.FCM,
        purposes=frozenset(purposes or Purpose),
        token=Secret("x"),
        reported_at=NOW,
    )
    fields: dict[str, Any] = {
        "number": 2**48,
        "app": "phone",
        "aor": "sip:alice@pbx.example",
        "contact_uri": "sip:alice@192.0.2.4",
        "registrar": "sip:pbx.example",
        "pbx": "192.0.2.1",
        "targets": (target,),
        "registered_at": NOW,
        "expires_at": NOW + granted * 1000,
    }
    return Guest(**{**fields, **changes})


@pytest.mark.parametrize(
    ("granted", "own_timer", "leads"),
    [
        (600, False, [120, 90, 60, 30, 12]),
        (3600, False, [720, 540, 360, 180, 72]),
        (86_400, False, [900, 675, 450, 225, 90]),
        (604_800, False, [346_500, 346_275, 346_050, 345_825, 345_690]),  # within three days
        (120, False, [60, 45, 30, 15, 6]),
        (3600, True, [120, 90, 60, 30, 12]),
    ],
)
def test_a_sleeping_phone_is_pushed_until_it_has_refreshed(
    granted: int,
    own_timer: bool,
    leads: list[int],
) -> None:
    one = guest(granted, has_own_timer=own_timer)
    assert [(one.expires_at - at) // 1000 for at in refreshes(one)] == leads


@given(st.integers(1, 10_000_000), st.booleans())
def test_no_push_comes_before_the_binding_or_after_its_end(granted: int, own_timer: bool) -> None:
    one = guest(granted, has_own_timer=own_timer)
    times = refreshes(one)
    assert all(one.registered_at < at < one.expires_at for at in times)
    assert all(earlier < later for earlier, later in pairwise(times))
    walked = [replace(one, step=step).next_at for step in range(len(times) + 1)]
    assert walked == [*times, one.expires_at]
    assert [steps_behind(one, at) for at in times] == list(range(1, len(times) + 1))
    assert steps_behind(one, NOW) == 0


def test_a_phone_that_only_rings_is_never_pushed_in_silence() -> None:
    one = guest(600, Purpose.CALL)
    assert refreshes(one) == ()
    assert one.next_at == one.expires_at
    assert refreshes(guest(600, targets=())) == ()


# Numbers


def test_a_phone_keeps_its_number_and_shares_it_with_nobody() -> None:
    key = b"the secret of the server"
    mine = guest_number(key, "sip:alice@pbx.example", "urn:uuid:1", "sip:alice@192.0.2.4")
    assert mine == guest_number(key, "sip:alice@pbx.example", "urn:uuid:1", "sip:alice@10.9.9.9")
    others = {
        guest_number(key, "sip:alice@pbx.example", "urn:uuid:2", ""),
        guest_number(key, "sip:ben@pbx.example", "urn:uuid:1", ""),
        guest_number(key, "sip:alice@pbx.example", "urn:uuid:1", "", attempt=1),
        guest_number(b"another secret", "sip:alice@pbx.example", "urn:uuid:1", ""),
    }
    assert len(others | {mine}) == 5
    assert all(is_guest_number(number) for number in others)
    assert not is_guest_number(2**40)
