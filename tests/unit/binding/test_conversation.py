"""One REGISTER conversation: challenges, 423, and what each answer means."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.binding import (
    BindingRequest,
    Bound,
    ComeLater,
    Conversation,
    Intent,
    KeptNonce,
    Looked,
    Outcome,
    RealmUnknown,
    Refusal,
    Refused,
    Removed,
    Unreachable,
    Unusable,
)
from wakerobin.core.sip import digest
from wakerobin.core.sip.digest import Algorithm as Hash
from wakerobin.core.sip.message import Message, parse, respond
from wakerobin.core.values import Algorithm, Credentials, RealmKey, Secret

CONTACT = "sip:Zm9vYmFy@10.0.0.1:5060;transport=udp"
INSTANCE = "urn:uuid:00000000-0000-8000-8000-000000000001"
REQUEST = BindingRequest(
    aor="sip:alice@pbx.test",
    domain="pbx.test",
    contact_uri=CONTACT,
    instance=INSTANCE,
    call_id="call-id-of-alice",
    routes=("<sip:proxy.test;lr>",),
)
PASSWORD = Credentials("alice", password=Secret("secret"))
OUTCOMES = (Bound, Removed, Looked, Refused, RealmUnknown, ComeLater, Unusable, Unreachable)


def octets() -> Callable[[int], bytes]:
    count = itertools.count()
    return lambda size: hashlib.shake_128(str(next(count)).encode()).digest(size)


def talk(
    credentials: Credentials = PASSWORD,
    intent: Intent = Intent.BIND,
    kept: tuple[KeptNonce, ...] = (),
    *,
    is_reliable: bool = False,
) -> Conversation:
    return Conversation(
        REQUEST,
        credentials,
        intent=intent,
        expires_s=600,
        first_cseq=100,
        entropy=octets(),
        kept=kept,
        is_reliable=is_reliable,
    )


def answer(request: Message, status: int, *headers: tuple[str, str]) -> Message:
    """Return a response as it comes back, with our Via on top."""
    sent = request.copy()
    sent.prepend("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx;rport=5060;received=10.0.0.1")
    return parse(respond(sent, status, to_tag="registrar", headers=headers).encode())


def challenge(
    realm: str = "pbx.test",
    nonce: str = "n1",
    algorithm: Hash = Hash.MD5,
    *,
    stale: bool = False,
    proxy: bool = False,
) -> tuple[str, str]:
    header = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
    return header, digest.challenge_value(realm, nonce, algorithm, stale=stale)


def bound(contact: str = f"<{CONTACT}>;expires=600") -> tuple[str, str]:
    return "Contact", contact


def message(step: object) -> Message:
    assert isinstance(step, Message)
    return step


def authorization(request: Message, header: str = "Authorization") -> digest.Authorization:
    found = digest.parse_authorization(request.get(header) or "")
    assert found is not None
    return found


def proves(request: Message, password: str = "secret", header: str = "Authorization") -> bool:
    found = authorization(request, header)
    ha1 = digest.ha1(found.algorithm, "alice", found.realm, password)
    return digest.verify(found, ha1=ha1, method="REGISTER") and found.uri == request.uri


def test_the_register_says_who_where_and_for_how_long() -> None:
    first = talk().begin()
    assert (first.method, first.uri) == ("REGISTER", "sip:pbx.test")
    assert first.from_.uri == first.to.uri == "sip:alice@pbx.test"
    assert first.from_tag
    assert first.to_tag is None
    assert first.get("Contact") == f'<{CONTACT}>;+sip.instance="<{INSTANCE}>"'
    assert (first.expires, first.cseq.number, first.call_id) == (600, 100, "call-id-of-alice")
    assert first.values("Route") == ["<sip:proxy.test;lr>"]
    assert first.values("Supported") == ["path"]
    assert not first.has("Authorization")


def test_the_register_survives_the_wire_as_it_was_meant() -> None:
    first = talk().begin()
    first.prepend("Via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx")
    read = parse(first.encode())
    assert list(read.items())[:-1] == list(first.items())[:-1]


def test_a_challenge_is_answered_and_the_numbers_rise() -> None:
    conversation = talk()
    first = conversation.begin()
    second = message(conversation.take(answer(first, 401, challenge())))
    assert proves(second)
    assert authorization(second).nc == 1
    assert second.cseq.number == 101
    assert second.from_tag == first.from_tag
    outcome = conversation.take(answer(second, 200, bound()))
    assert isinstance(outcome, Bound)
    assert outcome.accepted is not None
    assert outcome.accepted.realm == "pbx.test"
    assert {key.algorithm for key in outcome.accepted.keys} == {Algorithm.MD5, Algorithm.SHA_256}
    assert conversation.cseq == 101


def test_provisional_responses_are_waited_through() -> None:
    conversation = talk()
    first = conversation.begin()
    assert conversation.take(answer(first, 100)) is None
    assert conversation.take(answer(first, 183)) is None


def test_the_strongest_challenge_that_we_hold_a_key_for_wins() -> None:
    offers = [challenge(algorithm=Hash.MD5), challenge(nonce="n2", algorithm=Hash.SHA_256)]
    conversation = talk()
    second = message(conversation.take(answer(conversation.begin(), 401, *offers)))
    assert authorization(second).algorithm is Hash.SHA_256
    only_md5 = Credentials(
        "alice",
        keys=(
            RealmKey("pbx.test", Algorithm.MD5, Secret(digest.ha1(Hash.MD5, "alice", "pbx.test", "secret"))),
        ),
    )
    conversation = talk(only_md5)
    second = message(conversation.take(answer(conversation.begin(), 401, *offers)))
    assert authorization(second).algorithm is Hash.MD5
    assert proves(second)


def test_the_proxy_and_the_registrar_are_answered_side_by_side() -> None:
    conversation = talk()
    second = message(
        conversation.take(answer(conversation.begin(), 407, challenge("edge.test", "p1", proxy=True)))
    )
    third = message(conversation.take(answer(second, 401, challenge("pbx.test", "r1"))))
    assert proves(third, header="Proxy-Authorization")
    assert proves(third)
    assert authorization(third, "Proxy-Authorization").nc == 2
    outcome = conversation.take(answer(third, 200, bound()))
    assert isinstance(outcome, Bound)
    assert outcome.accepted is not None
    assert outcome.accepted.realm == "pbx.test"
    assert {key.realm for key in outcome.accepted.keys} == {"edge.test", "pbx.test"}


def test_a_wrong_password_is_told_by_the_second_challenge_and_not_tried_again() -> None:
    conversation = talk()
    second = message(conversation.take(answer(conversation.begin(), 401, challenge())))
    outcome = conversation.take(answer(second, 401, challenge(nonce="n2")))
    assert outcome == Refused(Refusal.WRONG, 401)


def test_the_same_nonce_again_is_a_refusal_too() -> None:
    conversation = talk()
    second = message(conversation.take(answer(conversation.begin(), 401, challenge())))
    assert conversation.take(answer(second, 401, challenge())) == Refused(Refusal.WRONG, 401)


def test_a_stale_nonce_is_replaced_once_or_twice_and_not_for_ever() -> None:
    conversation = talk()
    step: object = conversation.begin()
    for number in range(3):
        step = conversation.take(answer(message(step), 401, challenge(nonce=f"n{number}", stale=number > 0)))
        assert authorization(message(step)).nonce == f"n{number}"
    outcome = conversation.take(answer(message(step), 401, challenge(nonce="n9", stale=True)))
    assert isinstance(outcome, Unusable)


def test_a_kept_nonce_saves_a_round_trip_and_its_count_goes_on() -> None:
    conversation = talk()
    second = message(conversation.take(answer(conversation.begin(), 401, challenge())))
    first_end = conversation.take(answer(second, 200, bound()))
    assert isinstance(first_end, Bound)
    for count in (2, 3):
        conversation = talk(kept=first_end.kept)
        only = conversation.begin()
        assert proves(only)
        assert (authorization(only).nonce, authorization(only).nc) == ("n1", count)
        first_end = conversation.take(answer(only, 200, bound()))
        assert isinstance(first_end, Bound)


@pytest.mark.parametrize("stale", [True, False])
def test_a_kept_nonce_that_is_refused_is_no_wrong_password(*, stale: bool) -> None:
    kept = (KeptNonce(digest.challenges(answer(talk().begin(), 401, challenge()))[0], 1, "c"),)
    conversation = talk(kept=kept)
    second = message(conversation.take(answer(conversation.begin(), 401, challenge(nonce="n2", stale=stale))))
    assert authorization(second).nonce == "n2"
    assert authorization(second).nc == 1
    assert isinstance(conversation.take(answer(second, 200, bound())), Bound)


def test_the_next_nonce_is_taken_over() -> None:
    conversation = talk()
    second = message(conversation.take(answer(conversation.begin(), 401, challenge())))
    end = conversation.take(answer(second, 200, bound(), ("Authentication-Info", 'nextnonce="n7"')))
    assert isinstance(end, Bound)
    only = talk(kept=end.kept).begin()
    assert (authorization(only).nonce, authorization(only).nc) == ("n7", 1)
    assert proves(only)


def test_an_unknown_realm_is_never_answered() -> None:
    keys = Credentials("alice", keys=(RealmKey("old.test", Algorithm.MD5, Secret("0" * 32)),))
    conversation = talk(keys)
    outcome = conversation.take(answer(conversation.begin(), 401, challenge("new.test")))
    assert outcome == RealmUnknown(("new.test",))


@pytest.mark.parametrize(
    "value",
    ["Basic realm=pbx.test", 'Digest realm="pbx.test", nonce="n", algorithm=SHA-512-256', "Digest", ""],
)
def test_a_challenge_that_nobody_can_answer_says_nothing_of_the_password(value: str) -> None:
    conversation = talk()
    headers = [("WWW-Authenticate", value)] if value else []
    assert isinstance(conversation.take(answer(conversation.begin(), 401, *headers)), Unusable)


def test_423_raises_what_is_asked_for() -> None:
    conversation = talk()
    second = message(conversation.take(answer(conversation.begin(), 423, ("Min-Expires", "900"))))
    assert (second.expires, conversation.expires_s) == (900, 900)
    end = conversation.take(answer(second, 200))
    assert isinstance(end, Bound)
    assert end.granted_s == 900


@pytest.mark.parametrize("wanted", ["60", "600", "86401", "soon", ""])
def test_a_423_that_wants_nothing_sensible_is_unusable(wanted: str) -> None:
    conversation = talk()
    headers = [("Min-Expires", wanted)] if wanted else []
    assert isinstance(conversation.take(answer(conversation.begin(), 423, *headers)), Unusable)


@pytest.mark.parametrize(
    ("contacts", "expires", "granted", "is_listed", "others"),
    [
        ([f"<{CONTACT}>;expires=300"], None, 300, True, 0),
        # By comparison of URIs, not of texts: other order, escapes and case of the host.
        (["<sip:%5am9vYmFy@10.0.0.1:5060;transport=UDP>;expires=9"], None, 9, True, 0),
        (["<SIP:Zm9vYmFy@10.0.0.1:5060;transport=UDP>;expires=9"], None, 9, True, 0),
        # Ours is told from a desk phone that lives longer.
        (["<sip:alice@10.0.0.7>;expires=3600", f"<{CONTACT}>;expires=300"], "3600", 300, True, 1),
        ([f"<sip:alice@10.0.0.7>;expires=3600, <{CONTACT}>;expires=300"], None, 300, True, 1),
        # Asterisk rewrites host and port; the user is still ours.
        (["<sip:alice@10.0.0.7>;expires=30", "<sip:Zm9vYmFy@192.0.2.1:77>;expires=599"], None, 599, True, 1),
        # An edge rewrites everything but the instance.
        ([f'<sip:edge@10.0.0.8>;+sip.instance="<{INSTANCE.upper()}>";expires=88'], None, 88, True, 0),
        # Nothing of ours is left: the only one, or the one with the longest to live.
        (["<sip:x@10.0.0.8>;expires=77"], None, 77, False, 0),
        (["<sip:x@10.0.0.8>;expires=77", "<sip:y@10.0.0.8>;expires=599"], None, 599, False, 1),
        # No expiry at the contact: the header; neither: what we asked for.
        ([f"<{CONTACT}>"], "120", 120, True, 0),
        ([], "120", 120, False, 0),
        ([], None, 600, False, 0),
        (["nonsense<<"], "120", 120, False, 0),
        ([f"<{CONTACT}>;expires=never"], "120", 120, True, 0),
        # Nobody is bound for longer than a day without being asked again.
        ([f"<{CONTACT}>;expires=4294967295"], None, 86_400, True, 0),
    ],
)
def test_the_granted_expiry_is_read_from_our_contact(
    contacts: list[str], expires: str | None, granted: int, *, is_listed: bool, others: int
) -> None:
    conversation = talk()
    headers = [("Contact", contact) for contact in contacts]
    if expires is not None:
        headers.append(("Expires", expires))
    end = conversation.take(answer(conversation.begin(), 200, *headers))
    assert isinstance(end, Bound)
    assert (end.granted_s, end.is_listed, end.others) == (granted, is_listed, others)


def test_a_contact_of_ours_from_an_earlier_address_is_a_leftover() -> None:
    conversation = talk()
    old = "sip:Zm9vYmFy@10.0.0.99:5060;transport=udp"
    headers = [bound(f"<{old}>;expires=50"), bound()]
    end = conversation.take(answer(conversation.begin(), 200, *headers))
    assert isinstance(end, Bound)
    assert (end.leftovers, end.others, end.granted_s) == ((old,), 0, 600)


def test_a_yes_without_a_binding_is_unusable() -> None:
    conversation = talk()
    assert isinstance(
        conversation.take(answer(conversation.begin(), 200, bound(f"<{CONTACT}>;expires=0"))), Unusable
    )


def test_service_route_and_path_are_kept_whole_or_not_at_all() -> None:
    routes = [("Service-Route", "<sip:a;lr>, <sip:b;lr>"), ("Path", "<sip:edge;lr>")]
    conversation = talk()
    end = conversation.take(answer(conversation.begin(), 200, bound(), *routes))
    assert isinstance(end, Bound)
    assert (end.service_route, end.path) == (("<sip:a;lr>", "<sip:b;lr>"), ("<sip:edge;lr>",))
    for nonsense in ("<sip:a;lr>, nonsense", ", ".join(["<sip:a;lr>"] * 11)):
        conversation = talk()
        end = conversation.take(answer(conversation.begin(), 200, bound(), ("Service-Route", nonsense)))
        assert isinstance(end, Bound)
        assert end.service_route == ()


def test_the_peer_says_where_it_saw_us() -> None:
    conversation = talk()
    end = conversation.take(answer(conversation.begin(), 200, bound()))
    assert isinstance(end, Bound)
    assert end.seen == ("10.0.0.1", 5060)
    conversation = talk(is_reliable=True)
    end = conversation.take(answer(conversation.begin(), 200, bound()))
    assert isinstance(end, Bound)
    assert end.seen == ("10.0.0.1", None)


def test_an_un_register_removes_our_contact_alone() -> None:
    conversation = talk(intent=Intent.REMOVE)
    first = conversation.begin()
    assert first.get("Contact") == f'<{CONTACT}>;+sip.instance="<{INSTANCE}>";expires=0'
    assert first.expires == 0
    assert isinstance(
        conversation.take(answer(first, 200, bound("<sip:alice@10.0.0.7>;expires=60"))), Removed
    )


def test_a_look_changes_nothing() -> None:
    conversation = talk(intent=Intent.LOOK)
    first = conversation.begin()
    assert not first.has("Contact")
    assert not first.has("Expires")
    both = [bound(), bound("<sip:alice@10.0.0.7>;expires=60")]
    assert conversation.take(answer(first, 200, *both)) == Looked(is_there=True, others=1)
    conversation = talk(intent=Intent.LOOK)
    assert conversation.take(answer(conversation.begin(), 200)) == Looked(is_there=False, others=0)


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (403, [], Refused(Refusal.FORBIDDEN, 403)),
        (404, [], Refused(Refusal.UNKNOWN, 404)),
        (604, [], Refused(Refusal.UNKNOWN, 604)),
        (503, [("Retry-After", "17 (I am busy);duration=3")], ComeLater(503, 17)),
        (503, [], ComeLater(503, None)),
        (480, [("Retry-After", "5")], ComeLater(480, 5)),
        (500, [], ComeLater(500, None)),
        (302, [("Contact", "<sip:alice@evil.test>")], None),
        (400, [], None),
        (699, [], None),
    ],
)
def test_every_other_answer_has_its_verdict(
    status: int, headers: list[tuple[str, str]], expected: Outcome | None
) -> None:
    conversation = talk()
    outcome = conversation.take(answer(conversation.begin(), status, *headers))
    assert outcome == expected if expected is not None else isinstance(outcome, Unusable)


header_texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=60)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([200, 200, 401, 407, 423, 403, 503, 302, 299, 699]),
            st.lists(
                st.tuples(
                    st.sampled_from(
                        [
                            "Contact",
                            "WWW-Authenticate",
                            "Proxy-Authenticate",
                            "Expires",
                            "Min-Expires",
                            "Retry-After",
                            "Service-Route",
                            "Path",
                            "Authentication-Info",
                        ]
                    ),
                    st.one_of(
                        header_texts,
                        st.sampled_from([bound()[1], challenge()[1], challenge(stale=True)[1], "600", "900"]),
                    ),
                ),
                max_size=4,
            ),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_a_registrar_answers_the_conversation_ends_soon_and_without_a_crash(
    answers: list[tuple[int, list[tuple[str, str]]]],
) -> None:
    conversation = talk()
    request = conversation.begin()
    sent = 1
    for status, headers in itertools.chain(answers, itertools.repeat((401, [challenge(stale=True)]))):
        step = conversation.take(answer(request, status, *headers))
        if isinstance(step, OUTCOMES):
            break
        assert isinstance(step, Message)
        assert step.cseq.number == request.cseq.number + 1
        request = step
        sent += 1
    assert sent <= 7


FULL = ("P-Registrar-Error", "Too many registered contacts")


def test_a_registrar_that_took_the_password_and_has_no_room_is_full() -> None:
    """Kamailio says it with a 503, which elsewhere means that it has no time."""
    conversation = talk()
    second = message(conversation.take(answer(conversation.begin(), 401, challenge())))
    assert conversation.take(answer(second, 503, FULL)) == Refused(Refusal.FULL, 503)
    conversation = talk()
    second = message(conversation.take(answer(conversation.begin(), 401, challenge())))
    other = ("P-Registrar-Error", "Failed to parse Contact")
    assert conversation.take(answer(second, 503, other)) == ComeLater(503, None)


def test_who_was_asked_for_no_password_and_who_only_looks_is_not_told_that_there_is_no_room() -> None:
    conversation = talk()
    assert conversation.take(answer(conversation.begin(), 503, FULL)) == ComeLater(503, None)
    conversation = talk(intent=Intent.LOOK)
    second = message(conversation.take(answer(conversation.begin(), 401, challenge())))
    assert conversation.take(answer(second, 503, FULL)) == ComeLater(503, None)


def named(*contacts: str) -> Bound:
    """What is made of contacts by an account whose own name stands in its Contact."""
    request = replace(REQUEST, contact_uri="sip:alice@10.0.0.1:5060;transport=udp", has_secret_user=False)
    conversation = Conversation(
        request, PASSWORD, intent=Intent.BIND, expires_s=600, first_cseq=1, entropy=octets()
    )
    end = conversation.take(answer(conversation.begin(), 200, *(("Contact", one) for one in contacts)))
    assert isinstance(end, Bound)
    return end


def test_a_desk_phone_with_the_same_user_part_is_somebody_else_where_ours_is_no_secret() -> None:
    ours, desk = "<sip:alice@10.0.0.1:5060;transport=udp>;expires=300", "<sip:alice@10.0.0.7>;expires=900"
    end = named(desk, ours)
    assert (end.granted_s, end.is_listed, end.others, end.leftovers) == (300, True, 1, ())
    end = named(desk)
    assert (end.is_listed, end.others) == (False, 0), "as at PBXs that rewrite ours"


def test_what_has_our_instance_beside_our_contact_is_a_leftover_whatever_its_user_part_is() -> None:
    old = f'<sip:Zm9vYmFy@10.0.0.1:5060>;+sip.instance="<{INSTANCE}>";expires=50'
    end = named("<sip:alice@10.0.0.1:5060;transport=udp>;expires=300", old)
    assert (end.leftovers, end.others) == (("sip:Zm9vYmFy@10.0.0.1:5060",), 0)
