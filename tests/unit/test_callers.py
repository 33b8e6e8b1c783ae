"""Who calls, as it is read from an INVITE for pushes and timelines."""

from __future__ import annotations

import pytest

from wakerobin.core.sip.message import Message
from wakerobin.services.callers import caller_of


def invite(from_: str, asserted: str = "") -> Message:
    headers = [("From", from_)] + ([("P-Asserted-Identity", asserted)] if asserted else [])
    return Message.request("INVITE", "sip:x@pbx.test", headers, b"")


def test_what_the_pbx_asserts_goes_before_what_the_caller_says() -> None:
    found = caller_of(invite('"Eve" <sip:1@evil.test>;tag=a', '"Ben" <sip:+4930123@pbx.test>'))
    assert found == {"uri": "sip:+4930123@pbx.test", "number": "+4930123", "name": "Ben"}


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_what_is_too_long_for_any_display_is_cut(letter: str) -> None:
    found = caller_of(invite(f'"{letter * 5000}" <sip:{"1" * 5000}@pbx.test>;tag=a'))
    assert [len(found[part]) for part in ("uri", "number", "name")] == [200, 200, 200]
    assert found["name"].startswith(letter * 199)


def test_what_cannot_be_read_is_nobody() -> None:
    assert caller_of(invite("<sip:broken")) == {"uri": "", "number": "", "name": ""}
