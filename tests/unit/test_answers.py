"""Final responses of our own: the same tag each time, and a reason that a person can read."""

from __future__ import annotations

from wakerobin.core.sip.message import Message
from wakerobin.services.phones.answers import answer


def request(call_id: str = "one", to: str = "<sip:alice@pbx.test>") -> Message:
    return Message.request(
        "INVITE",
        "sip:alice@pbx.test",
        [
            ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx"),
            ("From", "<sip:bob@pbx.test>;tag=f"),
            ("To", to),
            ("Call-ID", call_id),
            ("CSeq", "1 INVITE"),
        ],
    )


def test_the_same_request_gets_the_same_tag_and_another_one_another() -> None:
    assert answer(request(), 404).to_tag == answer(request(), 404).to_tag
    assert answer(request("one"), 404).to_tag != answer(request("two"), 404).to_tag


def test_a_tag_that_is_there_stays() -> None:
    assert answer(request(to="<sip:alice@pbx.test>;tag=t"), 481).to_tag == "t"


def test_the_reason_says_why_and_cannot_be_broken_by_quotation_marks() -> None:
    response = answer(request(), 480, 'The "phone" sleeps \\', [("Retry-After", "5")])
    assert response.get("reason") == "SIP;cause=480;text=\"The 'phone' sleeps \""
    assert response.get("retry-after") == "5"
    assert not answer(request(), 480).has("reason")
