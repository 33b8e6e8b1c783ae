from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wakerobin
from wakerobin.core.story import EVENTS, duration, moment, words

_TELLERS = frozenset({"tell", "Tell"})
_SOURCE = Path(wakerobin.__file__).parent


def _told(file: Path) -> set[str]:
    """Event names that a module tells: the first literal text in a call of `tell` or `Tell`."""
    told = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            literal = [text for text in texts if isinstance(text, str) and text]
            if name in _TELLERS and literal:
                told.add(literal[0])
    return told


def test_every_event_that_is_told_has_words() -> None:
    told = {event for file in _SOURCE.rglob("*.py") for event in _told(file)}
    assert {"renewed", "target-gone", "answered"} <= told, "the search finds what is told"
    assert told <= EVENTS


def test_every_settlement_of_a_push_has_words() -> None:
    from wakerobin.services.lives.settlement import _TOLD

    for name in _TOLD.values():
        assert {f"{name}-sent", f"{name}-failed"} <= EVENTS


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_every_event_reads_as_a_sentence_with_and_without_details(event: str) -> None:
    details = {"reason": "BadDeviceToken", "cause": "opened", "after_ms": 850, "status": 603, "lead_s": 3600}
    for said in (words(event, {}), words(event, details)):
        assert said.endswith(".")
        assert said[0].isupper()
        assert "None" not in said
        assert ".." not in said


def test_details_are_said_where_they_help() -> None:
    renewed = words("renewed", {"cause": "renewal-push", "expires_at": 1_736_294_400_000})
    assert renewed == "Renewed: a silent push woke the app; it lives until 2025-01-08 00:00:00 UTC."
    assert words("push-accepted", {"after_ms": 140}) == "The push service took the push after 140 ms."
    assert words("phone-connected", {"after_ms": 2400}) == "The phone woke and connected after 2.4 s."
    assert words("warning-sent", {"lead_s": 12 * 3600}) == "The user was warned, 12 h before the end."
    assert words("ended", {"reason": "targets-gone"}) == "It ended: the app is no longer on the phone."
    assert words("missed", {"reason": "no phone came."}) == "Nobody answered: no phone came."


def test_an_unknown_event_reads_as_it_is() -> None:
    assert words("teleported", {"to": "Mars"}) == "teleported (to Mars)"
    assert words("teleported", {}) == "teleported"


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (2400, "2.4 s"), (90_000, "1.5 min"), (3600_000, "1 h")],
)
def test_durations_are_said_as_people_say_them(milliseconds: int, said: str) -> None:
    assert duration(milliseconds) == said


@given(at=st.integers(-(2**70), 2**70))
def test_any_moment_can_be_said(at: int) -> None:
    assert moment(at)


@given(
    event=st.sampled_from(sorted(EVENTS)),
    details=st.dictionaries(
        st.sampled_from(["reason", "cause", "after_ms", "status", "lead_s", "to", "expires_at", "caller"]),
        st.none() | st.integers() | st.text(max_size=9) | st.floats(allow_nan=False, allow_infinity=False),
    ),
)
def test_whatever_a_row_holds_it_can_be_read(event: str, details: dict[str, object]) -> None:
    assert words(event, details)


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("", "The call was cancelled."),
        ('SIP;cause=200;text="Call completed elsewhere"', "Somebody answered at another phone of the PBX."),
        ('sip ;text="x" ; cause = 200', "Somebody answered at another phone of the PBX."),
        ('SIP;cause=2000;text="Odd"', "The call was cancelled: Odd."),
        ('Q.850;cause=16;text="Normal call clearing"', "The call was cancelled: Normal call clearing."),
        ("Q.850;cause=200", "The call was cancelled: Q.850;cause=200."),
    ],
)
def test_a_cancelled_call_says_what_the_pbx_gave_as_its_reason(reason: str, sentence: str) -> None:
    assert words("cancelled", {"reason": reason}) == sentence
