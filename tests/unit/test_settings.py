"""Three sources become one set of options, or words that a person can act on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.options import HttpOptions, Options, SipOptions, StoreOptions
from wakerobin.settings import config_folder, data_folder, default_file, load

FULL = """
[sip]
listen = ["udp:0.0.0.0:5060", "tcp:[::]:5060"]
public = "push.example.com"
allow_private = ["192.168.1.0/24"]
wake_timeout = "20s"
towards = { "192.168.1.0/24" = "192.168.1.9" }
register_rate = 12.5

[http]
listen = "127.0.0.1:8090"
trusted_proxies = ["127.0.0.1"]

[store]
url = "sqlite:other.db"

[apps.softphone]
enrolment_key = "hunter2-hunter2"
registrars = ["*.pbx.example"]
decline = "this-phone"

[apps.softphone.lifetime]
lifetime = "30s"
renewal_from = "10s"
renewal_every = "2s"
warnings = ["5s", "1s"]

[apps.softphone.apns]
key_file = "key.p8"
key_id = "ABCDEFGHIJ"
team_id = "KLMNOPQRST"
topic = "com.example.phone"
url = "https://127.0.0.1:8443"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "wakerobin.toml"
    path.write_text(text)
    return path


def outcome(path: Path) -> Options | ConfigurationError:
    try:
        return load(path, {})
    except ConfigurationError as error:
        return error


def test_with_nothing_at_all_the_defaults_hold() -> None:
    assert load(None, {}) == Options()


def test_a_full_file_is_read_to_the_last_key(tmp_path: Path) -> None:
    options = load(written(tmp_path, FULL), {})
    assert options.sip.listen == ("udp:0.0.0.0:5060", "tcp:[::]:5060")
    assert options.sip.wake_timeout == 20_000
    assert options.sip.towards == {"192.168.1.0/24": "192.168.1.9"}
    assert options.sip.register_rate == 12.5
    app = options.apps["softphone"]
    assert app.enrolment_key.reveal() == "hunter2-hunter2"
    assert app.registrars == ("*.pbx.example",)
    assert app.lifetime.warnings == (5_000, 1_000)
    assert app.apns is not None
    assert app.apns.topic == "com.example.phone"
    assert "hunter2" not in repr(options)


def test_the_environment_goes_before_the_file_and_a_flag_before_both(tmp_path: Path) -> None:
    path = written(tmp_path, FULL)
    environ = {
        "WAKEROBIN_SIP_PUBLIC": "env.example",
        "WAKEROBIN_HTTP_LISTEN": "127.0.0.1:1",
        "WAKEROBIN_SIP_LISTEN": "udp:127.0.0.1:5070, tcp:127.0.0.1:5070",
        "WAKEROBIN_SIP_TOWARDS": "10.0.0.0/8=10.0.0.1",
        "WAKEROBIN_SIP_REGISTER_BURST": "7",
        "WAKEROBIN_SIP_RING_TIMEOUT": "1m",
        "HOME": "/nowhere",
    }
    options = load(path, environ, {"http.listen": "127.0.0.1:2"})
    assert options.sip.public == "env.example"
    assert options.http.listen == "127.0.0.1:2"
    assert options.sip.listen == ("udp:127.0.0.1:5070", "tcp:127.0.0.1:5070")
    assert options.sip.towards == {"10.0.0.0/8": "10.0.0.1"}
    assert (options.sip.register_burst, options.sip.ring_timeout) == (7, 60_000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sip]\nlisen = []", "unknown key sip.lisen; did you mean listen?"),
        ("[sips]", "unknown key sips; did you mean sip?"),
        ("[apps.a]\nenrolment_key = 'k'\nlifetime = '7d'", "apps.a.lifetime"),
        ("[apps.a]", "apps.a.enrolment_key: is missing"),
        ("apps = 3", "apps: must be a table"),
        ("apps.phone = 'x'", "apps.phone: must be a table of options"),
        ("sip = 3", "sip: must be a table of options"),
        ("[sip]\nlisten = 'udp:0.0.0.0:5060'", 'sip.listen: must be a list, such as ["…", "…"]'),
        ("[sip]\ntowards = 'x'", "sip.towards: must be a table"),
        ("[sip]\npublic = 'a b'", "sip.public = 'a b': is no name or address of a host"),
        ("[sip]\npublic = '*.example'", "sip.public = '*.example': is no name"),
        ("[http]\npublic_url = 'push.example'", "http.public_url: is no address such as https://"),
        (
            "[apps.a]\nenrolment_key = 'k'\nregistrars = ['sip:pbx']",
            "apps.a.registrars: 'sip:pbx' matches nothing",
        ),
        ("[apps.a]\nenrolment_key = 'k'\nregistrars = 'pbx'", "apps.a.registrars: must be a list"),
        (
            "[apps.a]\nenrolment_key = 'k'\ntrust_unchallenged = 'x'",
            "trust_unchallenged: must be true or false",
        ),
        ("[sip]\nwake_timeout = 30", 'a duration is text with a unit, such as "12h"'),
        ("[sip]\nwake_timeout = '30'", "sip.wake_timeout"),
        ("[sip]\nwake_timeout = '0s'", "sip.wake_timeout: must be above 0"),
        ("[sip]\nregister_rate = nan", "sip.register_rate: must be above 0"),
        ("[sip]\nregister_rate = -1", "sip.register_rate: must be above 0"),
        ("[sip]\nregister_burst = 0", "sip.register_burst = 0: must be from 1"),
        ("[sip]\nregister_burst = 'many'", "sip.register_burst: must be a whole number"),
        ("[sip]\nregister_rate = 'fast'", "sip.register_rate: must be a number"),
        ("[sip]\nrecovery_rate = nan", "sip.recovery_rate: must be 0 or more"),
        ("[sip]\npbx_connections = 0", "sip.pbx_connections = 0: must be from 1"),
        ("[sip]\ncontact_user = {'sip:x' = 'aor'}", "sip.contact_user: 'sip:x' matches nothing"),
        ("[sip]\ncontact_user = {'x.example' = 'number'}", "neither aor nor random"),
        ("[sip]\nringback = 'never'", "choose one of immediate, pushed, device"),
        ("[sip]\nallow_private = ['192.168.1.0/33']", "sip.allow_private: '192.168.1.0/33' is no network"),
        ("[sip]\nphone_expires_min = '2h'", "sip.phone_expires_min"),
        ("[http]\ntrusted_proxies = ['proxy.example']", "http.trusted_proxies"),
        ("[http]\ntls_cert = 'cert.pem'", "http.tls_cert and http.tls_key go together"),
        ("[http]\nenrolments_per_hour = 0", "http.enrolments_per_hour"),
        ("[log]\nlevel = 'loud'", "choose one of debug, info, warning, error"),
        ("[store]\nmax_pages = -1", "store.max_pages"),
        ("[apps.a]\nenrolment_key = 'k'\ndecline_code = 200", "is no SIP refusal (400-699)"),
        ("[apps.a]\nenrolment_key = 'k'\nplain_8599 = true", "apps.a.plain_8599: needs registrars"),
        ("[apps.a]\nenrolment_key = 3", "apps.a.enrolment_key: must be text"),
        ("[apps.a]\nenrolment_key = 'k'\n[apps.a.lifetime]\nwarnings = ['8d']", "apps.a.lifetime.warnings"),
        ("[apps.a]\nenrolment_key = 'k'\n[apps.a.lifetime]\nlifetime = '0s'", "apps.a.lifetime"),
        ("[apps.a]\nenrolment_key = 'k'\n[apps.a.apns]\nkey_id = 'x'", "apps.a.apns.key_file: is missing"),
        ("a = ", "this is no TOML"),
        ("[sip]\n[sip]", "this is no TOML"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as raised:
        load(path, {})
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)


def test_apples_own_hosts_get_no_more_renewals_than_apple_takes(tmp_path: Path) -> None:
    text = FULL.replace('url = "https://127.0.0.1:8443"', "")
    with pytest.raises(ConfigurationError, match="20m at least"):
        load(written(tmp_path, text), {})


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.0.0.0/8=10.0.0.1,x", "=10.0.0.1"])
def test_a_variable_that_is_no_table_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sip\.towards: must be a table"):
        load(None, {"WAKEROBIN_SIP_TOWARDS": text})


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("WAKEROBIN_APPS_SOFTPHONE", "WAKEROBIN_APPS_SOFTPHONE"),
        ("WAKEROBIN_SIP", "WAKEROBIN_SIP"),
        ("WAKEROBIN_SIP_NOTHING", "no option nothing in [sip]"),
    ],
)
def test_a_variable_that_sets_nothing_is_an_error(variable: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(None, {variable: "1"})
    assert words in str(raised.value)


def test_a_variable_into_what_is_no_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\[sip\] is a table"):
        load(written(tmp_path, "sip = 3"), {"WAKEROBIN_SIP_PUBLIC": "x"})


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "there"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="there"):
        load(path, {})


@given(st.text(max_size=200))
def test_no_text_makes_it_crash(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    assert isinstance(outcome(path), Options) or str(outcome(path)).startswith(str(path))


_VALUES = st.recursive(
    st.one_of(st.integers(-5, 5), st.booleans(), st.text("ab1 sdh:", max_size=6), st.floats(-1, 1)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)
_KEYS = st.sampled_from(
    [
        f"{name}.{field.name}"
        for name, record in (("sip", SipOptions), ("http", HttpOptions), ("store", StoreOptions))
        for field in dataclasses.fields(record)
    ]
)


@given(_KEYS, _VALUES)
def test_no_value_of_any_option_makes_it_crash(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "values.toml"
    path.write_text(f"{key} = {_toml(value)}\n", encoding="utf-8")
    assert isinstance(outcome(path), Options) or str(outcome(path)).startswith(str(path))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, list):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {_toml(one)}' for name, one in value.items())}}}"
    return repr(value)


def test_every_option_has_a_sentence_for_the_documentation() -> None:
    seen: list[type] = [Options]
    for record in seen:
        for field in dataclasses.fields(record):
            assert str(field.metadata.get("help", "")).endswith("."), f"{record.__name__}.{field.name}"
            if isinstance(field.default_factory, type) and dataclasses.is_dataclass(field.default_factory):
                seen.append(field.default_factory)


def test_the_file_is_looked_for_here_and_in_the_platforms_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_DATA_HOME": str(tmp_path / "data")}
    assert default_file(environ) is None
    folder = config_folder(environ)
    folder.mkdir(parents=True)
    (folder / "wakerobin.toml").touch()
    assert default_file(environ) == tmp_path / "config" / "wakerobin" / "wakerobin.toml"
    (here / "wakerobin.toml").touch()
    assert default_file(environ) == Path("wakerobin.toml")
    assert default_file(environ | {"WAKEROBIN_CONFIG": "/x.toml"}) == Path("/x.toml")
    assert data_folder(environ) == tmp_path / "data" / "wakerobin"
