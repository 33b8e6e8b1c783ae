from __future__ import annotations

from pathlib import Path

import pytest

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import PushType
from wakerobin.texts import Catalogues
from wakerobin.texts.catalogues import SILENT

VALUES = {"account": "Alice", "caller": "Bob", "count": "3"}
VISIBLE = [type_ for type_ in PushType if type_ not in SILENT]


@pytest.fixture(scope="module")
def shipped() -> Catalogues:
    return Catalogues()


def test_the_warning_and_the_notice_say_what_was_promised(shipped: Catalogues) -> None:
    assert shipped.text(PushType.EXPIRY_WARNING, "en", "phone", VALUES).body == (
        "Your account is still receiving calls, but will expire soon. "
        "Tap here or open the app to continue receiving pushed calls."
    )
    assert shipped.text(PushType.EXPIRED, "en", "phone", VALUES).body == (
        "Due to long inactivity, your account is no longer receiving calls. "
        "Tap here or open the app to continue receiving pushed calls."
    )


@pytest.mark.parametrize("type_", VISIBLE)
def test_every_language_has_a_text_for_everything_that_is_shown(shipped: Catalogues, type_: PushType) -> None:
    assert shipped.languages >= {"en", "de"}
    texts = {language: shipped.text(type_, language, "phone", VALUES) for language in shipped.languages}
    for text in texts.values():
        assert text.title
        assert text.body
        assert "{" not in text.title + text.body
    assert len(set(texts.values())) == len(texts), "no language falls back to English unnoticed"


def test_what_is_silent_has_no_text(shipped: Catalogues) -> None:
    assert shipped.text(PushType.RENEW, "en", "phone", VALUES).body == ""


@pytest.mark.parametrize("locale", ["de", "de-AT", "de_CH.UTF-8", "DE-de-1996"])
def test_a_locale_falls_back_to_its_language(shipped: Catalogues, locale: str) -> None:
    german = shipped.text(PushType.EXPIRED, "de", "phone", VALUES)
    assert shipped.text(PushType.EXPIRED, locale, "phone", VALUES) == german


@pytest.mark.parametrize("locale", ["", "tlh", "x", "-", "en-GB", "den"])
def test_an_unknown_language_falls_back_to_english(shipped: Catalogues, locale: str) -> None:
    english = shipped.text(PushType.EXPIRED, "en", "phone", VALUES)
    assert shipped.text(PushType.EXPIRED, locale, "phone", VALUES) == english


def test_one_missed_call_reads_differently_from_several(shipped: Catalogues) -> None:
    one = shipped.text(PushType.MISSED_CALL, "en", "phone", VALUES | {"count": "1"})
    several = shipped.text(PushType.MISSED_CALL, "en", "phone", VALUES)
    assert one.body == "Missed call from Bob."
    assert several.body == "3 missed calls, the last from Bob."


def test_what_callers_send_is_never_read_as_a_placeholder(shipped: Catalogues) -> None:
    values = {"account": "{count}", "caller": "{account.__class__}", "count": "1"}
    text = shipped.text(PushType.MISSED_CALL, "en", "phone", values)
    assert (text.title, text.body) == ("{count}", "Missed call from {account.__class__}.")


def test_a_value_with_line_breaks_stays_one_line(shipped: Catalogues) -> None:
    text = shipped.text(PushType.MISSED_CALL, "en", "phone", {"caller": "Bob\n\nfree money", "count": "1"})
    assert text.body == "Missed call from Bob free money."


def test_an_app_may_have_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text('[expired]\ntitle = "Acme"\nbody = "Open Acme, {account}."\n')
    catalogues = Catalogues({"acme": tmp_path})
    own = catalogues.text(PushType.EXPIRED, "en-GB", "acme", VALUES)
    assert (own.title, own.body) == ("Acme", "Open Acme, Alice.")
    assert "inactivity" in catalogues.text(PushType.EXPIRED, "en", "other", VALUES).body
    assert "soon" in catalogues.text(PushType.EXPIRY_WARNING, "en", "acme", VALUES).body
    german = catalogues.text(PushType.EXPIRED, "de", "acme", VALUES)
    assert german == Catalogues().text(PushType.EXPIRED, "de", "x", VALUES), "the language goes first"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[expired", "no TOML"),
        ('[holiday]\ntitle = "x"\nbody = "y"\n', "holiday"),
        ('[expired]\ntitle = "x"\n', "needs `title` and `body`"),
        ('[expired]\ntitle = "x"\nbody = "y"\nfoot = "z"\n', "nothing else"),
        ('[expired]\ntitle = "x"\nbody = 5\n', "`body` must be a text"),
        ('[expired]\ntitle = " "\nbody = "y"\n', "not an empty one"),
        ('[expired]\ntitle = "x"\nbody = "{name}"\n', "{name}"),
        ("expired = 5\n", "needs `title` and `body`"),
        ("[renew]\n", "renew"),
    ],
)
def test_a_broken_catalogue_is_refused_with_its_file_and_remedy(
    tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "en.toml").write_text(content)
    with pytest.raises(ConfigurationError) as refused:
        Catalogues({"acme": tmp_path})
    assert said in str(refused.value)
    assert "en.toml" in str(refused.value)


def test_a_catalogue_that_is_not_utf_8_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_bytes(b'[expired]\ntitle = "\xff"\nbody = "y"\n')
    with pytest.raises(ConfigurationError, match="UTF-8"):
        Catalogues({"acme": tmp_path})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Catalogues({"acme": tmp_path / "nowhere"})
