"""Which transaction a message belongs to: RFC 3261 17.1.3, 17.2.3 and 9.2."""

from __future__ import annotations

import pytest

from tests.unit.sip.transaction_bench import ack_for, answer, make_request
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.transaction.client_invite import acknowledgement
from wakerobin.core.sip.transaction.matching import (
    cancelled_key,
    client_key,
    has_magic_cookie,
    server_key,
)

OLD = "1"  # a branch without the magic cookie


def changed(message: Message, name: str, value: str) -> Message:
    copy = message.copy()
    copy.set(name, value)
    return copy


def as_cancel(invite: Message) -> Message:
    cancel = changed(invite, "CSeq", f"{invite.cseq.number} CANCEL")
    cancel.method = "CANCEL"
    return cancel


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "CANCEL"])
@pytest.mark.parametrize("status", [100, 200, 486])
def test_a_response_finds_the_request_that_was_sent(method: str, status: int) -> None:
    request = make_request(method)
    assert client_key(answer(request, status)) == client_key(request)


def test_the_200_to_a_cancel_is_not_taken_for_a_200_to_the_invite_of_the_same_branch() -> None:
    invite = make_request("INVITE")
    assert client_key(answer(as_cancel(invite), 200)) != client_key(answer(invite, 200))


def test_responses_to_two_branches_are_told_apart() -> None:
    one, other = make_request(branch="z9hG4bK1"), make_request(branch="z9hG4bK2")
    assert client_key(answer(one, 200)) != client_key(answer(other, 200))


def test_a_response_finds_its_request_whatever_was_added_to_the_via_on_the_way() -> None:
    request = make_request()
    via = "SIP/2.0/UDP client.example:5060;rport=40001;received=192.0.2.9;Branch=Z9HG4BKJSN8"
    assert client_key(changed(answer(request, 200), "Via", via)) == client_key(request)


def test_only_the_topmost_via_of_a_response_counts() -> None:
    request = make_request()
    response = answer(request, 200)
    response.add("Via", "SIP/2.0/UDP second.example;branch=z9hG4bKsecond")
    assert client_key(response) == client_key(request)


def test_a_response_without_branch_is_a_syntax_error() -> None:
    response = changed(answer(make_request(), 200), "Via", "SIP/2.0/UDP client.example:5060")
    with pytest.raises(SipSyntaxError, match="branch"):
        client_key(response)


@pytest.mark.parametrize("branch", ["z9hG4bKjsn8", OLD])
@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "OPTIONS", "CANCEL"])
def test_a_retransmission_finds_its_transaction(method: str, branch: str) -> None:
    assert server_key(make_request(method, branch)) == server_key(make_request(method, branch))


@pytest.mark.parametrize("branch", ["z9hG4bKjsn8", OLD])
def test_the_ack_to_a_300_to_699_finds_the_invite_although_its_to_tag_is_ours(branch: str) -> None:
    invite = make_request("INVITE", branch)
    ack = acknowledgement(invite, answer(invite, 486))
    assert ack.to_tag is not None
    assert server_key(ack) == server_key(invite)


def test_the_ack_to_a_2xx_with_its_own_branch_finds_no_transaction() -> None:
    invite = make_request("INVITE")
    assert server_key(ack_for(invite, branch="z9hG4bKother")) != server_key(invite)


@pytest.mark.parametrize("branch", ["z9hG4bKjsn8", OLD])
def test_a_cancel_has_a_transaction_of_its_own_and_names_the_invite_that_it_cancels(
    branch: str,
) -> None:
    invite = make_request("INVITE", branch)
    cancel = as_cancel(invite)
    assert server_key(cancel) != server_key(invite)
    assert cancelled_key(cancel) == server_key(invite)


def test_a_cancel_of_another_branch_cancels_nothing() -> None:
    cancel = as_cancel(make_request("INVITE", "z9hG4bKother"))
    assert cancelled_key(cancel) != server_key(make_request("INVITE"))


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/UDP other.example:5060;branch=z9hG4bKjsn8",
        "SIP/2.0/UDP client.example:5070;branch=z9hG4bKjsn8",
        "SIP/2.0/UDP client.example;branch=z9hG4bKjsn8",
        "SIP/2.0/UDP client.example:5060;branch=z9hG4bKjsn9",
    ],
)
def test_the_same_branch_of_another_sender_is_another_transaction(via: str) -> None:
    request = make_request()
    assert server_key(changed(request, "Via", via)) != server_key(request)


def test_tokens_and_host_names_are_compared_without_case_and_with_what_we_added_left_out() -> None:
    request = make_request()
    via = "SIP/2.0/UDP CLIENT.example:5060;received=192.0.2.1;rport=9;branch=Z9hg4BKjsn8"
    assert server_key(changed(request, "Via", via)) == server_key(request)
    old = make_request(branch=OLD)
    via = "SIP/2.0/UDP CLIENT.example:5060;received=192.0.2.1;rport=9;branch=1"
    assert server_key(changed(old, "Via", via)) == server_key(old)


@pytest.mark.parametrize("branch", [None, "", OLD, "z9hG4bK", "Z9HG4BK", "z9hG4b"])
def test_only_a_cookie_with_something_behind_it_names_a_transaction(branch: str | None) -> None:
    assert not has_magic_cookie(branch)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("From", '"Alice" <sip:alice@example.com>;tag=other'),
        ("To", "Bob <sip:bob@example.com>;tag=other"),
        ("Call-ID", "other"),
        ("CSeq", "986760 OPTIONS"),
        ("Via", "SIP/2.0/TCP client.example:5060;branch=1"),
        ("Via", "SIP/2.0/UDP client.example:5060;branch=2"),
        ("Via", "SIP/2.0/UDP client.example:5060"),
    ],
)
def test_without_a_cookie_all_of_the_fields_of_17_2_3_must_be_the_same(name: str, value: str) -> None:
    request = make_request("OPTIONS", OLD)
    assert server_key(changed(request, name, value)) != server_key(request)


def test_without_a_cookie_requests_within_two_dialogs_are_told_apart() -> None:
    request = make_request("OPTIONS", OLD)
    one = changed(request, "To", "Bob <sip:bob@example.com>;tag=one")
    other = changed(request, "To", "Bob <sip:bob@example.com>;tag=other")
    assert server_key(one) != server_key(other)


def test_without_a_cookie_the_request_uri_must_be_the_same() -> None:
    request = make_request("OPTIONS", OLD)
    other = request.copy()
    other.uri = "sip:carol@192.0.2.4"
    assert server_key(other) != server_key(request)


@pytest.mark.parametrize("via", ["SIP/2.0/UDP h.example", "SIP/2.0/UDP h.example;branch=z9hG4bK"])
def test_a_peer_without_usable_branch_is_matched_by_the_fallback(via: str) -> None:
    invite = changed(make_request("INVITE"), "Via", via)
    ack = changed(ack_for(invite), "Via", via)
    assert server_key(ack) == server_key(invite)
    assert server_key(changed(invite, "Call-ID", "other")) != server_key(invite)
