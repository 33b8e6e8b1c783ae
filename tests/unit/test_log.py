from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator

import pytest

from wakerobin import log
from wakerobin.core.values import Algorithm, Flow, RealmKey, Secret, Transport

PASSWORD = "correct horse battery staple"


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    yield stream
    log.configure("info")


def events(output: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_room_level_time_and_fields(output: io.StringIO) -> None:
    log.configure("info", "json", output)
    log.get("fleet").info("binding_refreshed", account=7, expires_s=3600)
    (event,) = events(output)
    assert list(event) == ["timestamp", "level", "room", "event", "account", "expires_s"]
    assert event["room"] == "fleet"
    assert event["level"] == "info"
    assert event["event"] == "binding_refreshed"
    assert event["account"] == 7
    assert str(event["timestamp"]).endswith("Z")


def test_levels_below_the_configured_one_are_silent(output: io.StringIO) -> None:
    log.configure("warning", "json", output)
    room = log.get("net")
    room.debug("one")
    room.info("two")
    room.warning("three")
    room.error("four")
    assert [event["event"] for event in events(output)] == ["three", "four"]


def test_a_log_made_before_the_configuration_follows_it(output: io.StringIO) -> None:
    room = log.get("net")
    log.configure("debug", "json", output)
    room.debug("wire")
    assert [event["event"] for event in events(output)] == ["wire"]


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "secret",
        "token",
        "tokens",
        "authorization",
        "Proxy-Authorization",
        "response",
        "ha1",
        "contact_user",
        "push_token",
        "enrolment_key",
        "cnonce",
        "body",
        "endpoint",
    ],
)
def test_what_a_name_calls_secret_is_hidden(output: io.StringIO, name: str) -> None:
    log.configure("info", "json", output)
    log.get("web").info("seen", **{name: PASSWORD}, nested={"deep": [{name: PASSWORD}]})
    assert PASSWORD not in output.getvalue()
    (event,) = events(output)
    assert event[name] == log.HIDDEN
    assert event["nested"] == {"deep": [{name: log.HIDDEN}]}


def test_harmless_names_that_only_resemble_secret_ones_are_shown(output: io.StringIO) -> None:
    log.configure("info", "json", output)
    log.get("web").info("seen", response_code=200, key_id="ABC", realm="pbx.test", monkey="chimp")
    (event,) = events(output)
    assert [event["response_code"], event["key_id"], event["realm"], event["monkey"]] == [
        200,
        "ABC",
        "pbx.test",
        "chimp",
    ]


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_and_records_with_secrets_are_hidden_under_any_name(output: io.StringIO, form: str) -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Enrolment:
        aor: str
        contact_user: str

    log.configure("info", form, output)
    log.get("web").info(
        "seen",
        what=Secret(PASSWORD),
        row=Enrolment("sip:alice@pbx.test", PASSWORD),
        realm_key=RealmKey("pbx.test", Algorithm.MD5, Secret(PASSWORD)),
        listed=[RealmKey("pbx.test", Algorithm.MD5, Secret(PASSWORD))],
        raw=PASSWORD.encode(),
        thing=object(),
    )
    text = output.getvalue()
    assert PASSWORD not in text
    assert "sip:alice@pbx.test" in text
    assert "28 bytes" in text
    assert "<object>" in text


def test_flows_and_enumerations_are_shown_as_words(output: io.StringIO) -> None:
    log.configure("info", "json", output)
    flow = Flow(Transport.UDP, ("192.0.2.1", 5060), ("192.0.2.9", 5062))
    log.get("net").info("seen", flow=flow, transport=Transport.TCP)
    (event,) = events(output)
    assert event["flow"] == "udp:192.0.2.9:5062"
    assert event["transport"] == "tcp"


def test_text_keeps_what_a_peer_sent_on_one_line(output: io.StringIO) -> None:
    log.configure("info", "text", output)
    log.get("net").warning("peer_said", phrase="Fine\r\n2025-01-01 error   net  all_is_lost", empty="")
    (line,) = output.getvalue().splitlines()
    assert "peer_said" in line
    assert r"Fine\r\n2025" in line
    assert 'empty=""' in line


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_comes_with_its_traceback(output: io.StringIO, form: str) -> None:
    log.configure("info", form, output)
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError:
        log.get("net").error("it_raised", exc_info=True)
    assert "RuntimeError: first" in output.getvalue()
    if form == "text":
        head, *rest = output.getvalue().splitlines()
        assert "it_raised" in head
        assert all(line.startswith("    ") for line in rest)


def test_fields_cannot_overwrite_the_head_of_an_event(output: io.StringIO) -> None:
    log.configure("info", "json", output)
    log.get("net").info("seen", room="web", level="error", timestamp=1)
    (event,) = events(output)
    assert (event["room"], event["level"], event["event"]) == ("net", "info", "seen")
    assert (event["room_"], event["level_"], event["timestamp_"]) == ("web", "error", 1)


def test_a_stream_that_takes_nothing_stops_nothing(output: io.StringIO) -> None:
    class FullDisk(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log.configure("info", "json", FullDisk())
    log.get("net").info("unheard")
    closed = io.StringIO()
    log.configure("info", "json", closed)
    closed.close()
    log.get("net").info("unheard")


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_unknown_words_are_refused(output: io.StringIO, level: str, form: str) -> None:
    with pytest.raises(ValueError, match="No such level or form"):
        log.configure(level, form, output)
