"""Which catalogue a locale leads to, and which way a language runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.pushes import PushType
from wakerobin.texts import Catalogues
from wakerobin.texts.languages import canonical, fallbacks, is_language, is_right_to_left


@pytest.mark.parametrize(
    ("tag", "written"),
    [
        ("de", "de"),
        ("de_AT.UTF-8", "de-at"),
        ("pt-BR", "pt-br"),
        ("zh", "zh"),
        ("zh-Hans", "zh"),
        ("zh-Hans-CN", "zh-cn"),
        ("zh-TW", "zh-hant-tw"),
        ("zh-HK", "zh-hant-hk"),
        ("zh-Hans-HK", "zh-hk"),
        ("sr-Cyrl-RS", "sr-rs"),
        ("sr-ME", "sr-latn-me"),
        ("iw-IL", "he-il"),
        ("in", "id"),
        ("no-NO", "nb-no"),
        ("en-Latn-GB", "en-latn-gb"),
    ],
)
def test_one_language_has_one_tag(tag: str, written: str) -> None:
    assert canonical(tag) == written


@pytest.mark.parametrize(
    ("locale", "nearest_first"),
    [
        ("pt-PT", ["pt-pt", "pt", "en"]),
        ("de-CH-1996", ["de-ch-1996", "de-ch", "de", "en"]),
        ("zh-TW", ["zh-hant-tw", "zh-hant", "en"]),
        ("zh-SG", ["zh-sg", "zh", "en"]),
        ("sr-RS", ["sr-rs", "sr", "en"]),
        ("sr-Latn-RS", ["sr-latn-rs", "sr-latn", "en"]),
        ("uz-AF", ["uz-arab-af", "uz-arab", "en"]),
        ("ja-Jpan-JP", ["ja-jpan-jp", "ja-jpan", "ja", "en"]),
    ],
)
def test_a_locale_falls_back_to_what_its_reader_can_read(locale: str, nearest_first: list[str]) -> None:
    assert list(fallbacks(locale)) == nearest_first


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("de-AT", "de"),
        ("de_CH.UTF-8", "de"),
        ("DE-de-1996", "de"),
        ("fr-CA", "fr"),
        ("es-419", "es"),
        ("pt-PT", "pt"),
        ("pt-AO", "pt"),
        ("pt-BR", "pt-br"),
        ("pt_BR", "pt-br"),
        ("it-CH", "it"),
        ("pl-PL", "pl"),
        ("cs-CZ", "cs"),
        ("tr-TR", "tr"),
        ("ar-EG", "ar"),
        ("ar-Arab-AE", "ar"),
        ("ja-JP", "ja"),
        ("zh", "zh-hans"),
        ("zh-CN", "zh-hans"),
        ("zh-SG", "zh-hans"),
        ("zh-Hans-HK", "zh-hans"),
        ("zh-TW", "zh-hant"),
        ("zh-HK", "zh-hant"),
        ("zh-MO", "zh-hant"),
        ("zh-Hant", "zh-hant"),
        ("zh-Hant-CN", "zh-hant"),
        ("en-GB", "en"),
        ("sr-Latn", "en"),
        ("ru", "en"),
        ("sk", "en"),
        ("den", "en"),
        ("tlh", "en"),
        ("x", "en"),
        ("-", "en"),
        ("", "en"),
        ("..", "en"),
        ("zh-", "zh-hans"),
    ],
)
def test_every_locale_is_told_in_its_language_or_in_english(locale: str, language: str) -> None:
    catalogues = Catalogues()
    told = catalogues.text(PushType.EXPIRED, locale, "phone", {"account": "Alice"})
    assert told == catalogues.text(PushType.EXPIRED, language, "phone", {"account": "Alice"})


@given(st.text(max_size=40))
def test_no_locale_whatever_is_in_it_is_left_without_a_text(locale: str) -> None:
    steps = list(fallbacks(locale))
    assert steps[-1] == "en"
    assert canonical(canonical(locale)) == canonical(locale)


@pytest.mark.parametrize("tag", ["ar", "ar-eg", "he", "iw", "fa-ir", "ur", "uz-arab", "pa-PK", "sd", "ckb"])
def test_these_run_from_right_to_left(tag: str) -> None:
    assert is_right_to_left(tag)


@pytest.mark.parametrize("tag", ["en", "de", "zh-hant", "uz", "pa", "ar-latn", "sd-deva", "tr", ""])
def test_these_run_from_left_to_right(tag: str) -> None:
    assert not is_right_to_left(tag)


@pytest.mark.parametrize(
    "tag", ["de", "gsw", "pt-br", "es-419", "zh-hant", "zh-hant-tw", "de-1996", "ca-valencia"]
)
def test_these_name_a_language(tag: str) -> None:
    assert is_language(tag)


@pytest.mark.parametrize(
    "tag", ["", "d", "german", "readme", "de-", "-de", "de-x-acme", "de at", "de.old", "dé"]
)
def test_these_name_none(tag: str) -> None:
    assert not is_language(tag)
