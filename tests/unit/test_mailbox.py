"""Message summaries (RFC 3842), as PBXs write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.mailbox import EMPTY, MOST, Mailbox, is_change, is_news, read_summary


@pytest.mark.parametrize(
    ("body", "mailbox"),
    [
        # RFC 3842 section 3.5
        (
            b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\n"
            b"Voice-Message: 2/8 (0/2)\r\n",
            Mailbox(waiting=True, new=2, old=8),
        ),
        (b"Messages-Waiting: no\r\n", EMPTY),
        (b"Messages-Waiting: yes\r\n", Mailbox(waiting=True)),
        (b"messages-waiting : YES\nvoice-message:4/8(1/2)\n", Mailbox(True, 4, 8, 1)),
        (b"Messages-Waiting: no\r\nVoice-Message: 0/3 (0/0)\r\n", Mailbox(waiting=False, old=3)),
        (b"Messages-Waiting: no\r\nVoice-Message: 1/0\r\n", Mailbox(True, 1)),
        (b"Messages-Waiting: yes\r\nFax-Message: 3/4\r\nVoice-Message: many\r\n", Mailbox(waiting=True)),
        (b"Messages-Waiting: yes\r\nVoice-Message: 99999999/1\r\n", Mailbox(True, MOST, 1)),
        (
            b"Messages-Waiting: yes\r\nVoice-Message: 1/0 (7/0)\r\n\r\nSubject: \xff\r\n",
            Mailbox(True, 1, 0, 1),
        ),
    ],
)
def test_a_summary_says_what_waits(body: bytes, mailbox: Mailbox) -> None:
    assert read_summary(body) == mailbox


@pytest.mark.parametrize(
    "body", [b"", b"Voice-Message: 1/0\r\n", b"Messages-Waiting: perhaps\r\n", b"\xff\x00"]
)
def test_a_summary_that_does_not_say_whether_messages_wait_is_none(body: bytes) -> None:
    with pytest.raises(SipSyntaxError):
        read_summary(body)


@given(st.binary(max_size=300))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    try:
        mailbox = read_summary(body)
    except SipSyntaxError:
        return
    assert 0 <= mailbox.urgent <= mailbox.new <= MOST


def test_only_what_is_new_is_news_and_only_what_changed_is_told() -> None:
    two, one = Mailbox(True, 2), Mailbox(True, 1, 1)
    assert is_news(None, one)
    assert is_news(one, two)
    assert not is_news(two, one)
    assert not is_news(two, EMPTY)
    assert not is_change(None, EMPTY)
    assert not is_change(two, Mailbox(True, 2, 0, 1))
    assert is_change(two, one)
    assert is_change(two, EMPTY)
    uncounted = Mailbox(waiting=True)
    assert is_news(None, uncounted)
    assert not is_news(uncounted, uncounted)
