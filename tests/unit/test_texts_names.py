"""Names of accounts and callers inside texts: whatever somebody sends, the text around it stays itself."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.pushes import PushType
from wakerobin.texts import Catalogues
from wakerobin.texts.names import LONGEST, cleaned, isolated

FSI, PDI = "\u2068", "\u2069"
OVERRIDES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SHIPPED = Catalogues()


def missed(locale: str, caller: str, account: str = "Anna") -> str:
    values = {"caller": caller, "account": account, "count": "1"}
    return SHIPPED.text(PushType.MISSED_CALL, locale, "phone", values).body


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Bob", "Bob"),
        ("  Bob \t Builder ", "Bob Builder"),
        ("Bob\n\nfree money", "Bob free money"),
        ("Bob\u2028free\u2029money", "Bob free money"),
        ("Bob\x00\x1b[31m\x7f\x9b", "Bob[31m"),
        ("\u202ebob\u202c", "bob"),
        ("a\u2067b\u2069c\u2069\u2069", "abc"),
        ("a\udcffb", "a\ufffdb"),
        ("Zoë ☎ 👩\u200d💻", "Zoë ☎ 👩\u200d💻"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u200b\u00ad\ufeff \u0301", ""),
        ("   ", ""),
        ("{account}", "{account}"),
    ],
)
def test_a_name_keeps_its_letters_and_loses_its_tricks(sent: str, shown: str) -> None:
    assert cleaned(sent) == shown


def test_a_long_name_is_cut_and_no_emoji_is_left_half_joined() -> None:
    assert cleaned("x" * LONGEST) == "x" * LONGEST
    assert cleaned("x" * 5000) == "x" * (LONGEST - 1) + "…"
    assert cleaned("x" * (LONGEST - 3) + "👩\u200d💻👩\u200d💻") == "x" * (LONGEST - 3) + "👩…"


def test_a_name_of_the_same_direction_needs_no_isolates() -> None:
    assert isolated("Bob (2) +49 30 1234", right_to_left=False) == "Bob (2) +49 30 1234"


@pytest.mark.parametrize("name", ["أحمد", "Bob דוד", "١٢٣", "Bob\u200f"])
def test_a_name_that_runs_the_other_way_is_isolated(name: str) -> None:
    assert isolated(name, right_to_left=False) == f"{FSI}{name}{PDI}"


@pytest.mark.parametrize("name", ["Bob", "+49 30 1234", "أحمد"])
def test_every_name_inside_a_right_to_left_text_is_isolated(name: str) -> None:
    assert missed("ar", name) == f"مكالمة فائتة من {FSI}{name}{PDI}."


def test_an_arabic_caller_leaves_an_english_text_in_its_order() -> None:
    assert missed("en", "أحمد") == f"Missed call from {FSI}أحمد{PDI}."
    call = {"caller": "أحمد", "account": "דוד"}
    assert SHIPPED.text(PushType.CALL, "en", "phone", call).body == (
        f"{FSI}أحمد{PDI} is calling {FSI}דוד{PDI}."
    )


def test_the_count_is_not_isolated() -> None:
    values = {"caller": "Bob", "count": "5"}
    body = SHIPPED.text(PushType.MISSED_CALL, "ar", "phone", values).body
    assert body == f"5 مكالمات فائتة، آخرها من {FSI}Bob{PDI}."


@pytest.mark.parametrize("locale", ["ar", "en"])
def test_a_name_that_is_the_whole_line_decides_its_direction(locale: str) -> None:
    title = SHIPPED.text(PushType.EXPIRED, locale, "phone", {"account": "أحمد"}).title
    assert title == "أحمد"


@pytest.mark.parametrize("caller", ["", " ", "\u200b\u202e"])
@pytest.mark.parametrize(
    ("locale", "body"),
    [
        ("en", "Missed call from Unknown caller."),
        ("fr", "Appel manqué\u00a0: Numéro inconnu"),
        ("ja", "不在着信が1件あります（最新：不明な番号）。"),
    ],
)
def test_a_caller_who_says_no_name_is_called_unknown(locale: str, body: str, caller: str) -> None:
    assert missed(locale, caller) == body


@given(st.sampled_from(sorted(SHIPPED.languages)), st.text(max_size=200), st.text(max_size=200))
def test_no_name_breaks_a_text(locale: str, caller: str, account: str) -> None:
    # Hypothesis likes plain letters; what is dangerous stands in front of them.
    text = SHIPPED.text(PushType.CALL, locale, "phone", {"caller": OVERRIDES + caller, "account": account})
    for line in (text.title, text.body):
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
        depth = 0
        for character in line:
            assert character not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067"
            depth += (character == FSI) - (character == PDI)
            assert depth in (0, 1), "isolates are closed, and never inside each other"
        assert depth == 0
