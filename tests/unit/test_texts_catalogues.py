"""The shipped catalogues, file by file: complete, short, and of one meaning as far as a machine can tell."""

from __future__ import annotations

import itertools
import re
import tomllib
import unicodedata
from importlib import resources
from typing import Any

import pytest

from wakerobin.core.pushes import PushType
from wakerobin.texts import Catalogues
from wakerobin.texts.entries import MAY_BE_WARNED, SILENT, WARNED, WORDS, every_table
from wakerobin.texts.languages import canonical, is_right_to_left
from wakerobin.texts.plurals import plural_form

LONGEST_TITLE = 40
LONGEST_TOGETHER = 178
"""Columns of title and body: about four lines of a lock screen, after which systems cut."""

ORDINARY = {"account": "anna@pbx.example.com", "caller": "+49 30 1234 5678 901", "count": "12"}

LANGUAGES = ("ar", "cs", "de", "en", "es", "fr", "it", "ja", "pl", "pt", "pt-br", "tr", "zh-hans", "zh-hant")
TABLES = dict(every_table())
PARTS = [(language, table) for language in LANGUAGES for table in TABLES]
SHIPPED = Catalogues()
PRIVATE = Catalogues(private=["phone"])


def tables(language: str) -> dict[str, Any]:
    folder = resources.files("wakerobin.texts").joinpath("catalogues")
    return tomllib.loads(folder.joinpath(f"{language}.toml").read_text(encoding="utf-8"))


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def test_these_languages_are_shipped() -> None:
    assert SHIPPED.languages == {canonical(language) for language in LANGUAGES}


def variant_in(table: str) -> str:
    return table.removeprefix(TABLES[table].value).removeprefix("-")


def test_only_a_renewal_and_the_proof_of_a_token_show_nothing() -> None:
    assert {PushType.RENEW, PushType.VERIFY} == SILENT


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_every_text_and_every_word(language: str) -> None:
    assert set(tables(language)) == {*WORDS, *TABLES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_names_what_it_is_made_for(language: str) -> None:
    for name, wanted in WORDS.items():
        assert placeholders(tables(language)[name]) == set(wanted), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_names_somebody_has_words_that_name_nobody_and_what_can_be_several_has_theirs(
    language: str,
) -> None:
    for name, table in tables(language).items():
        if name not in WORDS:
            assert ("private" in table) == bool(placeholders(table["body"])), name
            assert ("several" in table) == ("several" in tables("en")[name]), name


@pytest.mark.parametrize(("language", "table_name"), PARTS)
def test_every_text_names_what_the_english_one_names(language: str, table_name: str) -> None:
    english, table = tables("en")[table_name], tables(language)[table_name]
    assert placeholders(table["title"]) == placeholders(english["title"])
    for name in table.keys() - {"title", "private", "several"}:
        wanted = placeholders(english["body"])
        # A form for one number only, or for two, may say it in words.
        optional = {"count"} if name in ("body_one", "body_two") else set()
        assert wanted - optional <= placeholders(table[name]) <= wanted, name


@pytest.mark.parametrize(("language", "table_name"), PARTS)
def test_no_language_says_anything_in_the_words_of_another(language: str, table_name: str) -> None:
    for name, text in tables(language)[table_name].items():
        if name != "title":
            others = {one for one in LANGUAGES if tables(one)[table_name].get(name) == text}
            assert others == {language} or (others == {"pt", "pt-br"} and len(text) < 30), name


@pytest.mark.parametrize(("language", "table_name"), PARTS)
def test_a_text_fits_a_lock_screen(language: str, table_name: str) -> None:
    type_, variant = TABLES[table_name], variant_in(table_name)
    variants = (variant, WARNED) if type_ in MAY_BE_WARNED else (variant,)
    for count, one in itertools.product((1, 2, 5, 12), variants):
        values = ORDINARY | {"count": str(count)}
        text = PRIVATE.text(type_, language, "phone", values, variant=one)
        assert text.generic is not None
        for title, body in ((text.title, text.body), (text.generic.title, text.generic.text)):
            assert columns(title) <= LONGEST_TITLE
            assert columns(title) + columns(body) <= LONGEST_TOGETHER


@pytest.mark.parametrize(("language", "table_name"), PARTS)
def test_where_nobody_may_be_named_nobody_is(language: str, table_name: str) -> None:
    type_, variant = TABLES[table_name], variant_in(table_name)
    values = {"account": "ACCOUNT", "caller": "CALLER", "count": "77"}
    generic = PRIVATE.text(type_, language, "phone", values, variant=variant).generic
    assert generic is not None
    assert generic.title
    assert generic.text
    said = generic.title + generic.text
    assert not any(one in said for one in (*values.values(), "{", "}"))


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
    words = {name: {name: tables(language)[name]} for name in WORDS}
    for table, texts in (tables(language) | words).items():
        for name, text in texts.items():
            bare = re.sub(r"\{\w+\}", "", text)
            assert text == text.strip() == unicodedata.normalize("NFC", text)
            assert "  " not in text
            assert "..." not in text
            assert "'" not in text
            assert '"' not in text
            if letters and bare.strip():
                written = [c for c in bare if c.isalpha() and letters in unicodedata.name(c)]
                assert len(written) >= len([c for c in bare if c.isalpha()]) * 0.8, (table, name)


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


@pytest.mark.parametrize(
    ("language", "two", "three", "five"),
    [
        ("en", "Ann and Bo", "Ann, Bo and Cy", "Ann, Bo and 3 more"),
        ("de", "Ann und Bo", "Ann, Bo und Cy", "Ann, Bo und 3 weitere"),
        ("pl", "Ann i Bo", "Ann, Bo i Cy", "Ann, Bo i jeszcze 3"),
        ("ja", "Ann、Bo", "Ann、Bo、Cy", "Ann、Bo、ほか3件"),
        ("zh-TW", "Ann和Bo", "Ann、Bo和Cy", "Ann、Bo及另外 3 個"),
        (
            "ar",
            "\u2068Ann\u2069 و\u2068Bo\u2069",
            "\u2068Ann\u2069، \u2068Bo\u2069 و\u2068Cy\u2069",
            "\u2068Ann\u2069، \u2068Bo\u2069 و3 غيرها",
        ),
    ],
)
def test_several_accounts_are_listed_as_the_language_lists(
    language: str, two: str, three: str, five: str
) -> None:
    names = ["Ann", "Bo", "Cy", "Di", "Ed"]
    for count, title in ((2, two), (3, three), (5, five)):
        text = SHIPPED.text(PushType.EXPIRED, language, "phone", {}, accounts=names[:count])
        assert text.title == title
        assert text.body == tables(canonical_file(language))["expired"]["several"]


def test_one_account_of_a_list_is_an_account_like_any_other() -> None:
    values = {"account": "Ann"}
    plain = SHIPPED.text(PushType.EXPIRED, "en", "phone", values)
    assert SHIPPED.text(PushType.EXPIRED, "en", "phone", values, accounts=["Ann"]) == plain


def test_a_name_in_a_list_is_never_read_as_a_placeholder_or_as_two_lines() -> None:
    text = SHIPPED.text(PushType.EXPIRED, "en", "phone", {}, accounts=["{last}\n", "{names}\u202e", "x" * 99])
    assert text.title == f"{{last}}, {{names}} and {'x' * 63}…"


def test_a_missed_call_of_a_warned_life_says_so() -> None:
    values = {"account": "Anna", "caller": "{text}", "count": "1"}
    text = SHIPPED.text(PushType.MISSED_CALL, "en", "phone", values, variant=WARNED)
    assert text.body == "Missed call from {text}. Your account will expire soon: open the app to keep it."


def canonical_file(language: str) -> str:
    return "zh-hant" if language == "zh-TW" else language
