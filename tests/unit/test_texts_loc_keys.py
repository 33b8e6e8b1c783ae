"""An app with texts of its own gets keys and arguments, down to what is written to Apple."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.pushing import message
from wakerobin.core.pushes import LocKeys, PushType
from wakerobin.ports.options import AppOptions
from wakerobin.ports.texts import Text
from wakerobin.push.apns import notification
from wakerobin.texts import LOC_KEYS, Catalogues
from wakerobin.texts.entries import SILENT, WARNED
from wakerobin.texts.loc_keys import every_key, every_private_key

KEYED = Catalogues.of_apps({"phone": AppOptions(texts=LOC_KEYS, push_privacy="none"), "other": AppOptions()})
VALUES = {"account": "Anna", "caller": "Bob", "count": "3"}
SHOWN = [type_ for type_ in PushType if type_ not in SILENT]


def keys(type_: PushType, locale: str = "en", **changes: str) -> LocKeys:
    found = KEYED.text(type_, locale, "phone", VALUES | changes).loc_keys
    assert found is not None
    return found


def test_a_warning_names_the_account_only() -> None:
    assert keys(PushType.EXPIRY_WARNING) == LocKeys(
        "sip_push_expiry_warning_title", ("Anna",), "sip_push_expiry_warning_body", ("Anna",)
    )


def test_a_missed_call_gives_caller_and_count_in_the_documented_order() -> None:
    assert keys(PushType.MISSED_CALL) == LocKeys(
        "sip_push_missed_call_title",
        ("Anna", "Bob", "3"),
        "sip_push_missed_call_body_other",
        ("Bob", "3", "Anna"),
    )


@pytest.mark.parametrize(
    ("locale", "count", "form"),
    [
        ("en", "1", "one"),
        ("de-AT", "2", "other"),
        ("pl-PL", "4", "few"),
        ("pl", "5", "many"),
        ("cs", "5", "other"),
        ("ar-EG", "2", "two"),
        ("ru", "21", "one"),  # no catalogue of ours is needed
        ("ja", "1", "other"),
        ("iw", "2", "two"),
        ("tlh", "1", "one"),
        ("en", "", "one"),
        ("en", "many", "one"),
    ],
)
def test_the_key_has_the_form_that_the_language_has_for_the_count(locale: str, count: str, form: str) -> None:
    assert keys(PushType.MISSED_CALL, locale, count=count).body_key == f"sip_push_missed_call_body_{form}"


def test_an_argument_is_cleaned_and_isolated_where_its_text_or_its_name_runs_left() -> None:
    arabic = keys(PushType.CALL, "he-IL", caller="Bob\u202e\n")
    assert arabic.body_args == ("\u2068Bob\u2069", "\u2068Anna\u2069")
    assert arabic.title_args == ("Anna", "Bob")
    assert keys(PushType.CALL, "en", caller="أحمد").body_args == ("\u2068أحمد\u2069", "Anna")


def test_a_caller_without_a_name_is_called_unknown_in_the_language_of_the_user() -> None:
    assert keys(PushType.CALL, "de", caller=" ").body_args[0] == "Unbekannt"


def test_an_app_that_does_not_bring_its_texts_gets_none() -> None:
    assert all(KEYED.text(type_, "en", "other", VALUES).loc_keys is None for type_ in SHOWN)
    assert KEYED.text(PushType.RENEW, "en", "phone", VALUES).loc_keys is None


def sent(locale: str, count: int) -> Iterator[Text]:
    """Yield every text that can be sent in a language."""
    for type_ in SHOWN:
        for variant in ("", "unregistered", "unreachable", "ended", "elsewhere", "none", "uncounted", WARNED):
            for accounts in ((), ("Anna", "Ben")):
                values = VALUES | {"count": str(count)}
                yield KEYED.text(type_, locale, "phone", values, variant=variant, accounts=accounts)


def test_the_keys_of_the_list_are_those_that_can_be_sent_each_with_its_arguments() -> None:
    listed = dict(every_key())
    seen: set[str] = set()
    seen_private: set[str] = set()
    for locale in ("en", "pl", "ar", "ja", "sl"):
        for text in (one for count in range(1, 25) for one in sent(locale, count)):
            keyed = text.loc_keys
            assert keyed is not None
            assert len(listed[keyed.title_key]) == len(keyed.title_args)
            assert len(listed[keyed.body_key]) == len(keyed.body_args)
            seen |= {keyed.title_key, keyed.body_key}
            assert text.generic is not None
            private = text.generic.loc_keys
            assert private is not None
            assert private.title_args == private.body_args == ()
            seen_private |= {private.title_key, private.body_key}
    assert sorted(seen) == sorted(listed)
    assert sorted(seen_private) == sorted(every_private_key())


def test_a_text_about_several_accounts_has_a_key_of_its_own_and_one_argument_for_all() -> None:
    text = KEYED.text(PushType.EXPIRED, "de", "phone", {}, accounts=["Anna", "Ben"])
    assert text.loc_keys == LocKeys(
        "sip_push_expired_title", ("Anna und Ben",), "sip_push_expired_body_several", ("Anna und Ben",)
    )


def alert(**changes: Any) -> Any:
    octets = notification.body(message(PushType.MISSED_CALL, **changes))
    assert octets is not None
    return json.loads(octets)["aps"]["alert"]


def test_apple_gets_keys_instead_of_words() -> None:
    assert alert(title="Anna", text="Missed call.", loc_keys=keys(PushType.MISSED_CALL)) == {
        "title-loc-key": "sip_push_missed_call_title",
        "title-loc-args": ["Anna", "Bob", "3"],
        "loc-key": "sip_push_missed_call_body_other",
        "loc-args": ["Bob", "3", "Anna"],
    }


def test_the_longest_names_fit_into_what_apple_takes() -> None:
    longest = keys(PushType.MISSED_CALL, "ar", caller="👩" * 500, account="👩" * 500)
    payload = {"v": 1, "type": "missed-call", "caller": {"name": "x" * 4000}}
    assert alert(loc_keys=longest, payload=payload)["loc-args"][0].startswith("\u2068👩")
