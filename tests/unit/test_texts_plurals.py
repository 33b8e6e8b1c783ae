"""The form that a count takes, against the examples that CLDR gives for each rule (`@integer`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.texts.plurals import plural_form, plural_forms

EXAMPLES: dict[str, dict[str, str]] = {
    "ja ko zh zh-hant th vi id ms": {"other": "0~15 100 1000 10000 100000 1000000"},
    "en de es it tr nl sv fi hu el bg da nb xx": {
        "one": "1",
        "other": "0 2~16 100 1000 10000 100000 1000000",
    },
    "fr pt pt-br hi fa bn zu": {"one": "0 1", "other": "2~17 100 1000 10000 100000"},
    "pl": {
        "one": "1",
        "few": "2~4 22~24 32~34 42~44 52~54 62 102 1002",
        "many": "0 5~19 100 1000 10000 100000 1000000 12~14 112~114 21 31 101",
    },
    "cs sk": {"one": "1", "few": "2~4", "other": "0 5~19 100 1000 10000 100000 1000000 22 102"},
    "ru uk be": {
        "one": "1 21 31 41 51 61 71 81 101 1001",
        "few": "2~4 22~24 32~34 42~44 52~54 62 102 1002",
        "many": "0 5~19 100 1000 10000 100000 1000000 111",
    },
    "hr sr bs sr-latn": {
        "one": "1 21 31 41 51 61 71 81 101 1001",
        "few": "2~4 22~24 32~34 42~44 52~54 62 102 1002",
        "other": "0 5~19 100 1000 10000 100000 1000000",
    },
    "mk is": {
        "one": "1 21 31 41 51 61 71 81 101 1001",
        "other": "0 2~16 100 1000 10000 100000 1000000 11 111",
    },
    "sl": {
        "one": "1 101 201 301 401 501 601 701 1001",
        "two": "2 102 202 302 402 502 602 702 1002",
        "few": "3 4 103 104 203 204 303 304 403 404 503 504 603 604 703 704 1003",
        "other": "0 5~19 100 1000 10000 100000 1000000",
    },
    "lt": {
        "one": "1 21 31 41 51 61 71 81 101 1001",
        "few": "2~9 22~29 102 1002",
        "other": "0 10~20 30 40 50 60 100 1000 10000 100000 1000000",
    },
    "lv": {
        "zero": "0 10~20 30 40 50 60 100 1000 10000 100000 1000000",
        "one": "1 21 31 41 51 61 71 81 101 1001",
        "other": "2~9 22~29 102 1002",
    },
    "ro": {
        "one": "1",
        "few": "0 2~16 101 1001",
        "other": "20~35 100 1000 10000 100000 1000000",
    },
    "he": {"one": "1", "two": "2", "other": "0 3~17 100 1000 10000 100000 1000000"},
    "ar": {
        "zero": "0",
        "one": "1",
        "two": "2",
        "few": "3~10 103~110 1003",
        "many": "11~26 111 1011",
        "other": "100~102 200~202 300~302 400~402 500~502 600 1000 10000 100000 1000000",
    },
}


def numbers(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split():
        first, _, last = part.partition("~")
        found += range(int(first), int(last or first) + 1)
    return found


@pytest.mark.parametrize("languages", EXAMPLES)
def test_every_count_takes_the_form_of_cldr(languages: str) -> None:
    for language in languages.split():
        for form, examples in EXAMPLES[languages].items():
            assert {n: plural_form(language, n) for n in numbers(examples)} == dict.fromkeys(
                numbers(examples), form
            ), language


@pytest.mark.parametrize("languages", EXAMPLES)
def test_a_language_has_the_forms_that_its_counts_take_and_no_others(languages: str) -> None:
    for language in languages.split():
        taken = {plural_form(language, n) for n in range(1100)}
        assert taken - {"other"} == set(plural_forms(language))


@given(st.sampled_from(" ".join(EXAMPLES).split()), st.integers(min_value=0, max_value=10**12))
def test_no_count_is_without_a_form(language: str, count: int) -> None:
    assert plural_form(language, count) in {*plural_forms(language), "other"}
