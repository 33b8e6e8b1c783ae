"""Tokens, quoted strings, lists and parameters, as strangers write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.grammar import (
    format_params,
    is_token,
    parse_params,
    parse_port,
    quote,
    split_list,
    unquote,
)


@pytest.mark.parametrize("text", ["INVITE", "z9hG4bK-1", "!", "a.b%c*d_e+f`g'h~i"])
def test_what_the_rfc_calls_a_token_is_one(text: str) -> None:
    assert is_token(text)


@pytest.mark.parametrize(
    "text", ["", "a b", "a\n", "ü", "a;b", "a=b", "<a>", '"a"', "a@b", "a:b", "\N{KELVIN SIGN}"]
)
def test_anything_else_is_no_token(text: str) -> None:
    assert not is_token(text)


def test_quoting_escapes_quotation_marks_and_backslashes() -> None:
    assert quote('the "boss" \\ me') == r'"the \"boss\" \\ me"'


@given(st.text())
def test_unquoting_gives_back_what_was_quoted(text: str) -> None:
    assert unquote(quote(text)) == text


@pytest.mark.parametrize("text", ["", '"', "plain", '"open', 'shut"'])
def test_unquoting_leaves_alone_what_is_not_quoted(text: str) -> None:
    assert unquote(text) == text


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("a, b ,c", ["a", "b", "c"]),
        ("", []),
        (" , ,a,, ", ["a"]),
        ('"Bell, A." <sip:a@h>, "x"', ['"Bell, A." <sip:a@h>', '"x"']),
        ("<sip:a,b@h>;q=1, <sip:c@h>", ["<sip:a,b@h>;q=1", "<sip:c@h>"]),
        (r'"a \", b" <sip:x@h>, c', [r'"a \", b" <sip:x@h>', "c"]),
        ('"not shut, a, b', ['"not shut, a, b']),
        ("a < b, c", ["a < b", "c"]),
        ('<sip:a@h>;+sip.instance="<urn:uuid:0>", b', ['<sip:a@h>;+sip.instance="<urn:uuid:0>"', "b"]),
        ("a\r\n , b", ["a", "b"]),
    ],
)
def test_lists_are_split_only_at_commas_that_separate(value: str, items: list[str]) -> None:
    assert split_list(value) == items


@given(st.text(alphabet='",<>\\a ;'))
def test_splitting_loses_nothing_but_commas_and_white_space(value: str) -> None:
    def kept(text: str) -> str:
        return text.replace(",", "").replace(" ", "")

    assert kept("".join(split_list(value))) == kept(value)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (";branch=z9hG4bK=a==;rport", {"branch": "z9hG4bK=a==", "rport": None}),
        (";received=2001:db8::2", {"received": "2001:db8::2"}),
        (";received=[2001:db8::2]", {"received": "[2001:db8::2]"}),
        (";TAG=aBc", {"tag": "aBc"}),
        (" ; tag\t=  x ;\r\n b", {"tag": "x", "b": None}),
        (';+sip.instance="<urn:uuid:F81D>";reg-id=1', {"+sip.instance": '"<urn:uuid:F81D>"', "reg-id": "1"}),
        (";tag=1;tag=2", {"tag": "1"}),
        (";tag=", {"tag": ""}),
        (r';p="a\";b"', {"p": r'"a\";b"'}),
        (";n=ü", {"n": "ü"}),
        ("", {}),
    ],
)
def test_parameters_are_read_as_they_are_written(text: str, params: dict[str, str | None]) -> None:
    assert parse_params(text) == (params, len(text))


@pytest.mark.parametrize(("text", "end"), [(";;", 0), (";a;", 2), (";a, b", 2), (';a="x', 3), (";=x", 0)])
def test_reading_parameters_stops_before_what_is_none(text: str, end: int) -> None:
    assert parse_params(text)[1] == end


def test_parameters_are_read_from_a_position() -> None:
    assert parse_params("sip:a@b;x=1", 7) == ({"x": "1"}, 11)


def test_parameters_are_written_in_their_order() -> None:
    assert (
        format_params({"rport": None, "branch": "z9hG4bK1", "received": ""})
        == ";rport;branch=z9hG4bK1;received="
    )


def test_a_port_is_a_number_between_1_and_65535() -> None:
    assert parse_port("1") == 1
    assert parse_port("65535") == 65535
    assert parse_port(None) is None
    for text in ("0", "65536", "99999"):
        with pytest.raises(SipSyntaxError):
            parse_port(text)
