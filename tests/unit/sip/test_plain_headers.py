"""The one-step look at plain headers says nothing that the parser would not say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.sip.grammar import parse_params
from wakerobin.core.sip.header import NameAddr, Via, is_plain_address, plain_branch
from wakerobin.core.sip.message import Message

VIAS = (
    "SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKa1;rport=49152;received=198.51.100.7",
    "SIP/2.0/TCP pbx-1.example;rport;branch=z9hG4bK=x;ttl=3;branch=z9hG4bKsecond",
    "SIP/2.0/UDP h:64999;received=2001:db8::2;branch=z9hG4bK0",
)
ADDRESSES = ("<sip:u17@pbx.test>;tag=b27e.1f", "<sips:+49%2030@[2001:db8::1]:5061;lr>", "<tel:+49301;x=y>")
PIECES = st.sampled_from(
    [*';,=":<>@.-_/ ', "branch", ";branch=", ";tag=", "0", "99999", "é", "\t", "SIP", "sip:"]
)


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[str, ...]) -> str:
    text = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        until = draw(st.integers(at, min(len(text), at + 8)))
        text = text[:at] + draw(PIECES) + text[until:]
    return text.strip(" \t")


@pytest.mark.parametrize("value", VIAS)
def test_what_most_peers_send_as_via_is_plain(value: str) -> None:
    assert plain_branch(value) == Via.parse_first(value).branch


@pytest.mark.parametrize("value", ADDRESSES)
def test_what_most_peers_send_as_an_address_is_plain(value: str) -> None:
    assert is_plain_address(value)


@given(changed(VIAS))
def test_a_plain_via_is_one_hop_with_that_branch(value: str) -> None:
    branch = plain_branch(value)
    if branch is not None:
        (hop,) = Via.parse_all(value)
        assert hop.branch == branch


@given(changed(ADDRESSES))
def test_a_plain_address_is_one_that_can_be_read(value: str) -> None:
    if is_plain_address(value):
        assert str(NameAddr.parse(value)) == value


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_via_with_an_impossible_port_is_not_plain(port: str) -> None:
    assert plain_branch(f"SIP/2.0/UDP h:{port};branch=z9hG4bK1") is None


def test_a_message_below_a_via_is_a_copy_that_begins_with_it() -> None:
    original = Message.request("OPTIONS", "sip:h", [("Via", "SIP/2.0/UDP p;branch=z9hG4bKp"), ("X-A", "b")])
    assert original.branch == "z9hG4bKp"
    sent = original.below("SIP/2.0/UDP us:5060;branch=z9hG4bKq;rport", "z9hG4bKq")
    assert sent.values("Via") == [
        "SIP/2.0/UDP us:5060;branch=z9hG4bKq;rport",
        "SIP/2.0/UDP p;branch=z9hG4bKp",
    ]
    assert sent.branch == sent.top_via.branch == "z9hG4bKq"
    assert sent.pop_first("Via") is not None
    assert (sent.branch, original.branch) == ("z9hG4bKp", "z9hG4bKp")
    assert original.values("Via") == ["SIP/2.0/UDP p;branch=z9hG4bKp"]


@given(changed((";rport;received=192.0.2.1;branch=z9hG4bK1", ';tag=1;x="a;b";y=<z>;;=', ";lr;LR=2")))
def test_plain_parameters_are_read_like_all_others(text: str) -> None:
    params, end = parse_params(text)
    slowly, slow_end = parse_params(f"{text} ")  # what follows a space is never plain
    assert (list(params.items()), end) == (list(slowly.items()), min(slow_end, len(text)))
