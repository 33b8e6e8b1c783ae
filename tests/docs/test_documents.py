"""The documents say what is there, all of it, and nothing that is not."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from tests.docs import generated, payloads, privacy
from tests.docs.generated import PAGES, ROOT
from wakerobin.cli.commands import wakerobin_command
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Provider
from wakerobin.server.policies import lifetime_policies
from wakerobin.settings import load
from wakerobin.texts import Catalogues
from wakerobin.web.api import fields

EVERY_PAGE = (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md")

_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_OPTION = re.compile(
    r"(?:\[([a-zA-Z.]+)\] |(sip|http|store|log|apps\.NAME(?:\.\w+)?)\.)([a-z_0-9]+)(?: = .+)?"
)
_VARIABLE = re.compile(r"WAKEROBIN_[A-Z0-9_]+")
_METRIC = re.compile(r"wakerobin_[a-z_]+")

_NO_OPTIONS = ("sip.routes", "sip.instance", "sip.contact_params")
"""Fields of the API that look like options."""


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _codes(page: str) -> list[str]:
    return _CODE.findall(_BLOCK.sub("", page))


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_what_is_made_from_the_code_is_made_from_this_code(path: Path) -> None:
    page = _read(path)
    assert page == generated.made_anew(page), "run: .venv/test/bin/python -m tests.docs.generated"


def test_everything_that_is_made_stands_in_one_page() -> None:
    parts = [part for path in PAGES for part in generated.parts_of(_read(path))]
    assert sorted(parts) == sorted(generated.MAKERS)


def test_the_readme_leads_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in _LINK.findall(_read(ROOT / "README.md"))}
    pages = {_name(path) for path in EVERY_PAGE} - {"README.md"}
    assert pages <= linked


@pytest.mark.parametrize("path", EVERY_PAGE, ids=_name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in _LINK.findall(_read(path)):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        page = (path.parent / target).resolve() if target else path
        assert page.exists(), link
        if anchor:
            assert anchor in _anchors(_read(page)), link


@pytest.mark.parametrize("path", EVERY_PAGE, ids=_name)
def test_every_option_that_is_named_exists(path: Path) -> None:
    known = generated.option_keys()
    for code in _codes(_read(path)):
        named = _OPTION.fullmatch(code)
        if named is not None and code not in _NO_OPTIONS:
            assert f"{named[1] or named[2]}.{named[3]}" in known, code


@pytest.mark.parametrize("path", EVERY_PAGE, ids=_name)
def test_every_variable_that_is_named_exists(path: Path) -> None:
    known = {f"WAKEROBIN_{key.upper().replace('.', '_')}" for key in generated.option_keys()}
    named = set(_VARIABLE.findall(_read(path))) - {"WAKEROBIN_", "WAKEROBIN_CONFIG"}
    assert named <= known


@pytest.mark.parametrize("path", EVERY_PAGE, ids=_name)
def test_every_metric_that_is_named_exists(path: Path) -> None:
    known = {name for name, *_ in generated.metric_rows()}
    assert set(_METRIC.findall(_read(path))) - {"wakerobin_"} <= known


@pytest.mark.parametrize("path", EVERY_PAGE, ids=_name)
def test_every_command_that_is_named_exists(path: Path) -> None:
    page = _read(path)
    lines = [
        line
        for language, block in _BLOCK.findall(page)
        if language == "console"
        for line in block.split("\n")
    ]
    for text in (*_codes(page), *lines):
        called = re.search(r"(?:^|[ /])wakerobin ((?:[a-z]+(?:-[a-z]+)* ?)+)", text)
        if called is None or "git clone" in text:
            continue
        command: click.Command = wakerobin_command
        for word in called[1].split():
            if not isinstance(command, click.Group):
                break
            assert word in command.commands, text
            command = command.commands[word]


@pytest.mark.parametrize(
    ("path", "block"),
    [
        (path, block)
        for path in PAGES
        for language, block in _BLOCK.findall(_read(path))
        if language == "toml"
    ],
    ids=lambda value: _name(value) if isinstance(value, Path) else None,
)
def test_every_example_of_a_configuration_can_be_used(path: Path, block: str, tmp_path: Path) -> None:
    file = tmp_path / "wakerobin.toml"
    file.write_text(block)
    options = load(file, {})
    assert list(options.apps) == list(tomllib.loads(block).get("apps", {}))
    assert lifetime_policies(options).keys() == options.apps.keys()


@pytest.mark.parametrize("path", EVERY_PAGE, ids=_name)
def test_every_file_of_this_repository_that_is_named_exists(path: Path) -> None:
    named = [
        code for code in _codes(_read(path)) if re.match(r"(tests|src|docs|bench|changelog\.d|\.ci)/", code)
    ]
    for code in named:
        if not any(letter in code for letter in "* ") and not code.startswith("changelog.d/NAME"):
            assert (ROOT / code).exists(), code


def test_the_api_page_names_every_field() -> None:
    page = _read(ROOT / "docs" / "api.md")
    codes = " ".join(_codes(page))
    models = [
        value for value in vars(fields).values() if isinstance(value, type) and issubclass(value, BaseModel)
    ]
    names = {name for model in models for name in model.model_fields}
    assert len(names) > 20
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", codes)] == []


def test_the_architecture_page_shows_every_room() -> None:
    page = _read(ROOT / "docs" / "architecture.md")
    source = ROOT / "src" / "wakerobin"
    rooms = {
        path.name for folder in (source, source / "services") for path in folder.iterdir() if path.is_dir()
    }
    shown = set(re.findall(r"[a-z_]+", page))
    assert rooms - shown <= {"__pycache__"}


def test_the_life_page_quotes_what_users_read() -> None:
    page = " ".join(_read(ROOT / "docs" / "life.md").split())
    for type_ in (PushType.EXPIRY_WARNING, PushType.EXPIRED):
        assert f'"{Catalogues().text(type_, "en", "", {}).body}"' in page


@pytest.mark.parametrize("provider", list(privacy.READS))
def test_every_field_that_is_explained_is_one_that_some_push_service_gets(provider: Provider) -> None:
    sent = set(privacy.fields_of(provider))
    elsewhere = {name.rpartition("wakerobin.")[2] for one in privacy.READS for name in privacy.fields_of(one)}
    for name in privacy.MEANING[provider]:
        assert name in sent or name.rpartition("wakerobin.")[2] in elsewhere, name


def test_what_push_services_of_browsers_and_unifiedpush_can_read_is_the_same() -> None:
    browsers = privacy.fields_of(Provider.WEBPUSH)
    assert privacy.fields_of(Provider.UNIFIEDPUSH).keys() == browsers.keys()


def test_there_is_an_example_of_every_type_for_every_push_service_that_it_goes_to() -> None:
    unsent = {
        provider: {one.value for one in PushType} - {one.type.value for one in payloads.examples(provider)}
        for provider in Provider
    }
    assert unsent == {
        Provider.APNS: {"call-over"},
        Provider.FCM: set(),
        Provider.WEBPUSH: {"renew", "verify"},
        Provider.UNIFIEDPUSH: set(),
        Provider.WEBHOOK: set(),
        Provider.ACROBITS: {"renew", "verify"},
    }


def test_no_example_names_a_time_zone_or_a_secret_of_a_registration() -> None:
    for provider in Provider:
        for message in payloads.examples(provider):
            assert "A" * 43 not in (payloads.SENT[provider](message) or "")


@pytest.mark.parametrize("path", EVERY_PAGE, ids=_name)
def test_no_page_leads_to_this_machine_or_a_package_index(path: Path) -> None:
    page = _read(path).lower()
    for word in ("/work", "/home/", "pypi.org", "pythonhosted", "shields.io", "localhost"):
        assert word not in page


def _anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
