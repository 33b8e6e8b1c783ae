"""STUN Binding requests on a SIP port, with the octets of RFC 5769."""

from __future__ import annotations

import binascii
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.sip import stun

NUMBER = bytes.fromhex("b7e7a701bc34d686fa87dfae")
COOKIE = bytes.fromhex("2112a442")
MAPPED_V4 = bytes.fromhex("002000080001a147e112a643")
"""RFC 5769 2.2: 192.0.2.1 port 32853."""
MAPPED_V6 = bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9")
"""RFC 5769 2.3: 2001:db8:1234:5678:11:2233:4455:6677 port 32853."""


def request(attributes: bytes = b"", kind: int = 1) -> bytes:
    return struct.pack("!HH", kind, len(attributes)) + COOKIE + NUMBER + attributes


@pytest.mark.parametrize(
    ("remote", "mapped"),
    [
        (("192.0.2.1", 32853), MAPPED_V4),
        (("2001:db8:1234:5678:11:2233:4455:6677", 32853), MAPPED_V6),
    ],
)
def test_a_binding_request_is_told_where_it_came_from(remote: tuple[str, int], mapped: bytes) -> None:
    asked = request()
    assert stun.is_stun(asked)
    assert stun.answer(asked, remote) == (
        bytes.fromhex("0101") + len(mapped).to_bytes(2, "big") + COOKIE + NUMBER + mapped
    )


def test_the_request_of_the_rfc_with_its_password_and_fingerprint_is_answered_with_one() -> None:
    # RFC 5769 2.1: SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, MESSAGE-INTEGRITY, FINGERPRINT. PRIORITY has
    # to be understood, and is for nobody but ICE.
    octets = bytes.fromhex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
        "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
        "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
    )
    answer = stun.answer(octets, ("192.0.2.1", 32853))
    assert answer is not None
    assert answer[:2] == bytes.fromhex("0111")
    assert bytes.fromhex("00000414") in answer  # class 4, number 20
    assert bytes.fromhex("000a00020024") in answer  # UNKNOWN-ATTRIBUTES: PRIORITY
    assert_fingerprint(answer)


def assert_fingerprint(answer: bytes) -> None:
    assert int.from_bytes(answer[2:4], "big") == len(answer) - 20
    assert answer[-8:-4] == bytes.fromhex("80280004")
    assert int.from_bytes(answer[-4:], "big") == binascii.crc32(answer[:-8]) ^ 0x5354554E


def test_a_fingerprint_is_answered_with_a_fingerprint() -> None:
    asked = request(bytes.fromhex("80280004") + bytes(4))
    answer = stun.answer(asked, ("192.0.2.1", 32853))
    assert answer is not None
    assert MAPPED_V4 in answer
    assert_fingerprint(answer)


@pytest.mark.parametrize("kind", [0x0011, 0x0101, 0x0111, 0x0003])
def test_what_is_no_binding_request_gets_no_answer(kind: int) -> None:
    assert stun.is_stun(request(kind=kind))
    assert stun.answer(request(kind=kind), ("192.0.2.1", 1)) is None


def test_attributes_that_do_not_fit_get_no_answer() -> None:
    assert stun.answer(request(bytes.fromhex("80220100")), ("192.0.2.1", 1)) is None


def test_no_sip_message_is_taken_for_stun() -> None:
    for text in (
        b"OPTIONS sip:a@b SIP/2.0\r\n\r\n   ",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\r\n\r\n",
        b"",
        bytes(20),
    ):
        assert not stun.is_stun(text)


@given(st.binary(max_size=200), st.booleans())
def test_no_octets_break_it_and_no_answer_is_much_longer_than_its_question(noise: bytes, whole: bool) -> None:
    data = request(noise[: len(noise) // 4 * 4]) if whole else noise
    if stun.is_stun(data):
        answer = stun.answer(data, ("192.0.2.1", 5060))
        assert answer is None or len(answer) <= len(data) + 36
