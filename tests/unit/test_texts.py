"""The text of a push: promised words, an app's own before ours, and what is wrong with a folder in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import PushType, Wording
from wakerobin.ports.options import AppOptions
from wakerobin.texts import Catalogues

VALUES = {"account": "Alice", "caller": "Bob", "count": "3"}


@pytest.fixture(scope="module")
def shipped() -> Catalogues:
    return Catalogues()


def own(folder: Path, **files: str) -> Catalogues:
    for language, content in files.items():
        (folder / f"{language}.toml").write_text(content, encoding="utf-8")
    return Catalogues.of_apps({"acme": AppOptions(texts=str(folder)), "other": AppOptions()})


def test_the_warning_and_the_notice_say_what_was_promised(shipped: Catalogues) -> None:
    assert shipped.text(PushType.EXPIRY_WARNING, "en", "phone", VALUES).body == (
        "Your account is still receiving calls, but will expire soon. "
        "Tap here or open the app to continue receiving pushed calls."
    )
    assert shipped.text(PushType.EXPIRED, "en", "phone", VALUES).body == (
        "Due to long inactivity, your account is no longer receiving calls. "
        "Tap here or open the app to continue receiving pushed calls."
    )


def test_what_is_silent_has_no_text(shipped: Catalogues) -> None:
    text = shipped.text(PushType.RENEW, "en", "phone", VALUES)
    assert (text.title, text.body) == ("", "")


def test_what_callers_send_is_never_read_as_a_placeholder(shipped: Catalogues) -> None:
    values = {"account": "{count}", "caller": "{account.__class__}", "count": "1"}
    text = shipped.text(PushType.MISSED_CALL, "en", "phone", values)
    assert (text.title, text.body) == ("{count}", "Missed call from {account.__class__}.")


def test_nothing_but_account_caller_and_count_can_get_into_a_text(tmp_path: Path) -> None:
    catalogues = own(tmp_path, en='[call]\ntitle = "{account}"\nbody = "{caller} {account}"\n')
    values = VALUES | {"password": "hunter2", "token": "ab" * 32}
    text = catalogues.text(PushType.CALL, "en", "acme", values)
    assert (text.title, text.body) == ("Alice", "Bob Alice")
    with pytest.raises(ConfigurationError, match=r"\{password\}, which is not known here"):
        own(tmp_path, en='[call]\ntitle = "{account}"\nbody = "{password}"\n')


def test_an_app_may_have_its_own_words(tmp_path: Path) -> None:
    catalogues = own(tmp_path, en='[expired]\ntitle = "Acme"\nbody = "Open Acme, {account}."\n')
    text = catalogues.text(PushType.EXPIRED, "en-GB", "acme", VALUES)
    assert (text.title, text.body) == ("Acme", "Open Acme, Alice.")
    assert "inactivity" in catalogues.text(PushType.EXPIRED, "en", "other", VALUES).body


def test_what_an_app_leaves_out_falls_back_to_the_shipped_words(tmp_path: Path) -> None:
    catalogues = own(
        tmp_path, en='[expired]\ntitle = "Acme"\nbody = "Open Acme."\n', de='unknown_caller = "Niemand"'
    )
    assert "soon" in catalogues.text(PushType.EXPIRY_WARNING, "en", "acme", VALUES).body
    german = catalogues.text(PushType.EXPIRED, "de", "acme", VALUES)
    assert german == Catalogues().text(PushType.EXPIRED, "de", "x", VALUES), "the language goes first"
    unknown = catalogues.text(PushType.MISSED_CALL, "de", "acme", {"count": "1"})
    assert unknown.body == "Anruf in Abwesenheit von Niemand."


def test_an_app_may_bring_a_language_that_is_not_shipped(tmp_path: Path) -> None:
    catalogues = own(
        tmp_path,
        ru='[missed-call]\ntitle = "{account}"\nbody = "{count} пропущенных: {caller}"\n'
        'body_one = "{count} пропущенный: {caller}"\nbody_few = "{count} пропущенных звонка: {caller}"\n',
        he='[missed-call]\ntitle = "{account}"\nbody = "{count} שיחות: {caller}"\n',
    )

    def body(locale: str, count: str) -> str:
        return catalogues.text(PushType.MISSED_CALL, locale, "acme", VALUES | {"count": count}).body

    assert body("ru-RU", "21") == "21 пропущенный: Bob"
    assert body("ru-RU", "3") == "3 пропущенных звонка: Bob"
    assert body("ru-RU", "5") == "5 пропущенных: Bob", "`body` is for the form that is not written"
    assert body("iw", "1") == "1 שיחות: \u2068Bob\u2069"
    nobody = catalogues.text(PushType.MISSED_CALL, "ru", "acme", {"count": "5"})
    assert nobody.body == "5 пропущенных: Unknown caller"


def test_an_app_that_names_somebody_in_its_own_words_falls_back_where_nobody_may_be_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "de.toml").write_text('[missed-call]\ntitle = "{account}"\nbody = "{caller}!"\n', "utf-8")
    (tmp_path / "fr.toml").write_text('[expired]\ntitle = "Acme"\nbody = "Ouvrez."\n', "utf-8")
    catalogues = Catalogues.of_apps({"acme": AppOptions(texts=str(tmp_path), push_privacy="none")})
    missed = catalogues.text(PushType.MISSED_CALL, "de", "acme", VALUES)
    assert (missed.title, missed.body) == ("Alice", "Bob!")
    assert missed.generic == Wording("Ihr Telefonkonto", "Sie haben Anrufe verpasst.")
    assert catalogues.text(PushType.EXPIRED, "fr", "acme", VALUES).generic == Wording("Acme", "Ouvrez.")


def test_an_app_whose_push_services_may_read_names_gets_no_generic_text(shipped: Catalogues) -> None:
    assert shipped.text(PushType.EXPIRED, "en", "phone", VALUES).generic is None


def test_a_text_over_several_lines_becomes_one(tmp_path: Path) -> None:
    catalogues = own(tmp_path, en='[expired]\ntitle = " Acme "\nbody = """\nOpen\n  it,  {account}.\n"""\n')
    text = catalogues.text(PushType.EXPIRED, "en", "acme", VALUES)
    assert (text.title, text.body) == ("Acme", "Open it, Alice.")


def test_a_file_may_be_named_in_any_way_that_names_the_language(tmp_path: Path) -> None:
    content = '[expired]\ntitle = "{account}"\nbody = "own"\n'
    catalogues = own(tmp_path, **{"pt_BR": content, "zh-Hant-TW": content, "zh-Hans": content})
    for locale in ("pt-BR", "zh-TW", "zh", "zh-CN"):
        assert catalogues.text(PushType.EXPIRED, locale, "acme", VALUES).body == "own"
    for locale in ("pt-PT", "zh-HK"):
        assert catalogues.text(PushType.EXPIRED, locale, "acme", VALUES).body != "own"


def test_other_files_in_the_folder_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("ours")
    (tmp_path / ".de.toml").write_text("broken")
    assert own(tmp_path, en='unknown_caller = "?"').languages >= {"en"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[expired", "no TOML"),
        ("x = " + "[" * 5000, "no TOML"),
        ('[holiday]\ntitle = "x"\nbody = "y"\n', "[holiday] is no push with a text; there are call, "),
        ('[expired]\ntitle = "x"\n', "needs `title` and `body`"),
        ('[expired]\ntitle = "x"\nbody = "y"\nfoot = "z"\n', "nothing else"),
        (
            '[expired]\ntitle = "x"\nbody = "y"\nbody_one = "z"\n',
            "needs `title` and `body`, may have `private`, `several`, and has nothing else",
        ),
        (
            '[missed-call]\ntitle = "x"\nbody = "y"\nbody_few = "z"\n',
            "may have `body_one`, `private`, `several`, and has nothing else",
        ),
        ('[call]\ntitle = "x"\nbody = "y"\nprivate = "{caller}"\n', "`private` has {caller}"),
        ('[missed-call-warned]\ntitle = "x"\nbody = "y"\n', "is no push with a text"),
        ('warned = "{caller}"\n', "the placeholders are {text}"),
        ('[expired]\ntitle = "x"\nbody = 5\n', "`body` must be a text"),
        ('[expired]\ntitle = " "\nbody = "y"\n', "not an empty one"),
        ('[expired]\ntitle = "x"\nbody = "{name}"\n', "has {name}, which is not known here"),
        ('[expired]\ntitle = "x"\nbody = "{caller}"\n', "the placeholders are {account}"),
        ('[expired]\ntitle = "x"\nbody = "{account"\n', "half a placeholder"),
        ('[expired]\ntitle = "x"\nbody = "{{account}}"\n', "half a placeholder"),
        ("expired = 5\n", "needs `title` and `body`"),
        ("unknown_caller = 5\n", "`unknown_caller` must be a text"),
        ('unknown_caller = "{caller}"\n', "the placeholders are none"),
        ("[renew]\n", "renew"),
    ],
)
def test_a_broken_catalogue_is_refused_with_its_app_file_and_remedy(
    tmp_path: Path, content: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        own(tmp_path, en=content)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"apps.acme.texts: {tmp_path}/en.toml: ")


def test_a_catalogue_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_bytes(b'[expired]\ntitle = "\xff"\nbody = "y"\n')
    with pytest.raises(ConfigurationError, match=r"en\.toml: is no TOML in UTF-8"):
        own(tmp_path)


def test_a_catalogue_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "en.toml").mkdir()
    with pytest.raises(ConfigurationError, match=r"en\.toml: cannot be read: Is a directory"):
        own(tmp_path)


@pytest.mark.parametrize("name", ["loc_keys", "nowhere"])
def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"it must be a folder of texts, such as de\.toml"):
        own(tmp_path / name)


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no texts are in this folder"):
        own(tmp_path)


@pytest.mark.parametrize("name", ["english", "de at", "texts", "d"])
def test_a_file_that_is_not_named_for_a_language_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not named for a language, such as de\.toml"):
        own(tmp_path, **{name: ""})


def test_two_files_for_one_language_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="another file of this folder is for zh-hant-tw, too"):
        own(tmp_path, **{"zh-TW": "", "zh-Hant-TW": ""})
