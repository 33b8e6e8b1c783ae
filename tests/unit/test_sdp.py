"""What is read from an offer before it goes to a phone (RFC 8866, sip 23)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.sdp import Offer, read_offer

HEAD = "v=0\r\no=pbx 1 1 IN IP4 192.168.1.10\r\ns=-\r\n"
PLAIN = HEAD + "c=IN IP4 192.168.1.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
WEBRTC = (
    HEAD + "c=IN IP4 192.168.1.10\r\nt=0 0\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 8\r\na=ice-ufrag:F7gI\r\n"
    "a=ice-pwd:x9cml\r\na=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n"
)


def offer(text: str) -> Offer:
    return read_offer(text.encode())


def test_a_plain_offer_has_an_address_and_nothing_for_a_browser() -> None:
    assert offer(PLAIN) == Offer(("192.168.1.10",))
    assert offer(PLAIN).private_address == "192.168.1.10"
    assert not offer(PLAIN).fits_browsers


def test_an_offer_with_dtls_and_ice_fits_a_browser_and_no_address_stands_in_its_way() -> None:
    assert offer(WEBRTC).fits_browsers
    assert offer(WEBRTC).private_address == ""


@pytest.mark.parametrize("lacks", ["a=ice-ufrag:F7gI\r\n", "a=fingerprint:sha-256 AA:BB\r\n"])
def test_a_browser_needs_both(lacks: str) -> None:
    assert not offer(WEBRTC.replace(lacks, "")).fits_browsers


def test_what_is_said_once_for_the_whole_session_counts_for_its_streams() -> None:
    said = HEAD + "c=IN IP4 198.51.100.9\r\na=fingerprint:sha-256 AA\r\na=ice-ufrag:x\r\nt=0 0\r\n"
    assert offer(said + "m=audio 4 UDP/TLS/RTP/SAVPF 0\r\n").fits_browsers


def test_the_address_of_a_stream_goes_before_that_of_the_session() -> None:
    public = PLAIN + "c=IN IP4 198.51.100.9\r\n"
    assert offer(public) == Offer(("198.51.100.9",))
    two = public + "m=video 5000 RTP/AVP 99\r\nc=IN IP6 fd00::9\r\n"
    assert offer(two).private_address == "fd00::9"


@pytest.mark.parametrize("line", ["m=audio 0 RTP/AVP 8", "m=image 4000 udptl t38", "m=application 9 x y"])
def test_a_stream_that_is_off_or_carries_no_sound_counts_for_nothing(line: str) -> None:
    assert offer(PLAIN.replace("m=audio 4000 RTP/AVP 8", line)) == Offer()


@pytest.mark.parametrize("body", ["", "Hello", "v=0\r\n", "<xml>m=</xml>"])
def test_a_delayed_offer_and_what_is_no_sdp_say_nothing(body: str) -> None:
    found = offer(body)
    assert found == Offer()
    assert found.fits_browsers


@pytest.mark.parametrize(
    ("address", "is_private"),
    [
        ("10.0.0.1", True),
        ("100.64.1.1", True),
        ("127.0.0.1", True),
        ("169.254.3.4", True),
        ("0.0.0.0", False),
        ("198.51.100.9", False),
        ("pbx.example", False),
        ("224.2.1.1", False),
    ],
)
def test_which_addresses_lead_nowhere_from_outside(address: str, is_private: bool) -> None:
    found = offer(PLAIN.replace("c=IN IP4 192.168.1.10", f"c=IN IP4 {address}/127"))
    assert found.private_address == (address if is_private else "")


def test_line_ends_of_one_character_are_read_too() -> None:
    assert offer(PLAIN.replace("\r\n", "\n")) == offer(PLAIN)


@given(st.binary(max_size=400), st.integers(0, len(WEBRTC)))
def test_no_octets_break_it(octets: bytes, at: int) -> None:
    body = WEBRTC.encode()
    found = read_offer(body[:at] + octets + body[at:])
    assert isinstance(found.private_address, str)
