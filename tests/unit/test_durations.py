"""Durations as people write them."""

from __future__ import annotations

import pytest

from wakerobin.settings import parse_duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("250ms", 250),
        ("5s", 5_000),
        ("30m", 1_800_000),
        ("12h", 43_200_000),
        ("7d", 604_800_000),
        ("1.5h", 5_400_000),
        ("0s", 0),
        (" 2 s ", 2_000),
        ("400d", 34_560_000_000),
    ],
)
def test_a_number_with_a_unit_is_milliseconds(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-1s", "5 weeks", "1e3s", "5S", "١s", "5s 3m", "0x5s", "401d", "9" * 40 + "s", "5s\n6"],
)
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer"):
        parse_duration(text)
