"""The shipped catalogues, file by file: complete, short, and of one meaning as far as a machine can tell."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from importlib import resources
from typing import Any

import pytest

from wakerobin.core.pushes import PushType
from wakerobin.texts import Catalogues
from wakerobin.texts.entries import PLACEHOLDERS, SILENT
from wakerobin.texts.languages import canonical, is_right_to_left
from wakerobin.texts.plurals import plural_form

LONGEST_TITLE = 40
LONGEST_TOGETHER = 178
"""Columns of title and body: about four lines of a lock screen, after which systems cut."""

ORDINARY = {"account": "anna@pbx.example.com", "caller": "+49 30 1234 5678 901", "count": "12"}

LANGUAGES = ("ar", "cs", "de", "en", "es", "fr", "it", "ja", "pl", "pt", "pt-br", "tr", "zh-hans", "zh-hant")
PARTS = [(language, type_) for language in LANGUAGES for type_ in PushType if type_ not in SILENT]
SHIPPED = Catalogues()


def tables(language: str) -> dict[str, Any]:
    folder = resources.files("wakerobin.texts").joinpath("catalogues")
    return tomllib.loads(folder.joinpath(f"{language}.toml").read_text(encoding="utf-8"))


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def test_these_languages_are_shipped() -> None:
    assert SHIPPED.languages == {canonical(language) for language in LANGUAGES}


def test_only_a_renewal_shows_nothing() -> None:
    assert {PushType.RENEW} == SILENT


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_every_text_and_a_word_for_unknown_callers(language: str) -> None:
    assert set(tables(language)) == {"unknown_caller", *(type_.value for type_ in PLACEHOLDERS)}


@pytest.mark.parametrize(("language", "type_"), PARTS)
def test_every_text_names_what_the_english_one_names(language: str, type_: PushType) -> None:
    english, table = tables("en")[type_.value], tables(language)[type_.value]
    assert placeholders(table["title"]) == placeholders(english["title"])
    for name in table.keys() - {"title"}:
        wanted = placeholders(english["body"])
        # A form for one number only, or for two, may say it in words.
        optional = {"count"} if name in ("body_one", "body_two") else set()
        assert wanted - optional <= placeholders(table[name]) <= wanted, name


@pytest.mark.parametrize(("language", "type_"), PARTS)
def test_no_language_says_anything_in_the_words_of_another(language: str, type_: PushType) -> None:
    body = tables(language)[type_.value]["body"]
    others = {
        other for other in LANGUAGES if other != language and tables(other)[type_.value]["body"] == body
    }
    assert not others


@pytest.mark.parametrize(("language", "type_"), PARTS)
def test_a_text_fits_a_lock_screen(language: str, type_: PushType) -> None:
    for count in (1, 2, 5, 12):
        text = SHIPPED.text(type_, language, "phone", ORDINARY | {"count": str(count)})
        assert columns(text.title) <= LONGEST_TITLE
        assert columns(text.title) + columns(text.body) <= LONGEST_TOGETHER


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_count_has_a_form_of_its_own_in_the_catalogue(language: str) -> None:
    """`body` is the form for one group of counts only: where a language has more, they are written."""
    table = tables(language)[PushType.MISSED_CALL.value]
    without = {plural_form(language, n) for n in range(1, 1100)} - {
        name.removeprefix("body_") for name in table
    }
    assert len(without) <= 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_is_written_with_care(language: str) -> None:
    letters = {"ar": "ARABIC", "ja": "", "zh-hans": "CJK", "zh-hant": "CJK"}.get(language, "LATIN")
    for type_ in PLACEHOLDERS:
        for name, text in tables(language)[type_.value].items():
            bare = re.sub(r"\{\w+\}", "", text)
            assert text == text.strip() == unicodedata.normalize("NFC", text)
            assert "  " not in text
            assert "..." not in text
            assert "'" not in text
            assert '"' not in text
            if letters and bare.strip():
                written = [c for c in bare if c.isalpha() and letters in unicodedata.name(c)]
                assert len(written) >= len([c for c in bare if c.isalpha()]) * 0.8, (type_, name)


def test_only_arabic_runs_from_right_to_left() -> None:
    assert [language for language in LANGUAGES if is_right_to_left(language)] == ["ar"]


@pytest.mark.parametrize(
    ("language", "count", "body"),
    [
        ("en", 1, "Missed call from Bob."),
        ("en", 3, "3 missed calls, the last from Bob."),
        ("de", 1, "Anruf in Abwesenheit von Bob."),
        ("fr", 2, "2 appels manqués, le dernier\u00a0: Bob"),
        ("pl", 1, "Nieodebrane połączenie: Bob"),
        ("pl", 3, "3 nieodebrane połączenia, ostatnie: Bob"),
        ("pl", 5, "5 nieodebranych połączeń, ostatnie: Bob"),
        ("pl", 12, "12 nieodebranych połączeń, ostatnie: Bob"),
        ("pl", 22, "22 nieodebrane połączenia, ostatnie: Bob"),
        ("cs", 1, "Zmeškaný hovor: Bob"),
        ("cs", 4, "4 zmeškané hovory, poslední: Bob"),
        ("cs", 22, "22 zmeškaných hovorů, poslední: Bob"),
        ("tr", 7, "7 cevapsız arama, sonuncusu: Bob"),
        ("ar", 2, "مكالمتان فائتتان، آخرهما من \u2068Bob\u2069."),
        ("ar", 3, "3 مكالمات فائتة، آخرها من \u2068Bob\u2069."),
        ("ar", 11, "11 مكالمة فائتة، آخرها من \u2068Bob\u2069."),
        ("ar", 102, "102 مكالمة فائتة، آخرها من \u2068Bob\u2069."),
        ("ja", 1, "不在着信が1件あります（最新：Bob）。"),
        ("zh-TW", 4, "4 通未接來電，最近一通來自 Bob。"),
    ],
)
def test_missed_calls_are_counted_as_the_language_counts(language: str, count: int, body: str) -> None:
    values = {"account": "Anna", "caller": "Bob", "count": str(count)}
    assert SHIPPED.text(PushType.MISSED_CALL, language, "phone", values).body == body
