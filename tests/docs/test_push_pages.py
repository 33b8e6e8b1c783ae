"""The pages about push services: what they show to copy works, and what they say in tables is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.system.pushing import message, target
from tests.unit.discovery import violations
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Secret
from wakerobin.push.acrobits.letter import VERBS
from wakerobin.push.fcm.notification import KINDS, body
from wakerobin.push.posting import Letter
from wakerobin.push.webhook import read_secrets
from wakerobin.push.webhook.letter import write

DOCS = Path(__file__).parents[2] / "docs"
FCM = (DOCS / "fcm.md").read_text(encoding="utf-8")
WEBHOOK = (DOCS / "webhook.md").read_text(encoding="utf-8")
NOW = 1_790_000_000_000


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.fixture(scope="module")
def is_genuine() -> Any:
    """The function that the page tells receivers to use."""
    [code] = blocks(WEBHOOK, "python")
    names: dict[str, Any] = {}
    exec(compile(code, "docs/webhook.md", "exec"), names)
    return names["is_genuine"]


def test_what_a_receiver_is_told_to_do_takes_our_pushes_and_no_others(is_genuine: Any) -> None:
    [secret] = re.findall(r'secrets = \["(whsec_[^"]+)"\]\n```', WEBHOOK)
    other = "whsec_" + "A" * 32
    letter = write(message(), NOW, read_secrets([Secret(other), Secret(secret)], "secrets"))
    assert isinstance(letter, Letter)
    headers, now = dict(letter.fields), NOW / 1000
    assert is_genuine(headers, letter.body, secret, now)
    assert is_genuine(headers, letter.body, other, now + 299)
    assert not is_genuine(headers, letter.body, secret, now + 301)
    assert not is_genuine(headers, letter.body + b" ", secret, now)
    assert not is_genuine(headers, letter.body, "whsec_" + "B" * 32, now)


def test_the_call_that_the_page_shows_is_the_one_that_is_sent() -> None:
    [shown] = [json.loads(block) for block in blocks(FCM, "json") if block.startswith('{\n  "message"')]
    payload = json.loads(shown["message"]["data"]["wakerobin"])
    one = message(
        PushType.CALL,
        target=target("dvJ0wq5MRk2c"),
        title="Incoming call",
        text="Alice",
        payload=payload,
        expires_at=NOW + 30_000,
    )
    sent = body(one, NOW)
    assert sent is not None
    assert json.loads(sent) == shown
    assert violations(shown, {"$ref": "SendMessageRequest"}) == []


def _rows(page: str, heading: str) -> dict[str, list[str]]:
    """Return the rows of the table whose head begins so, by their first cell."""
    lines = page[page.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells}


FCM_ROWS = {
    "call": [PushType.CALL],
    "call over": [PushType.CALL_OVER],
    "test": [PushType.TEST],
    "warnings, expired, trouble with the PBX": [
        PushType.EXPIRY_WARNING,
        PushType.EXPIRED,
        PushType.REGISTRATION_TROUBLE,
        PushType.REGISTRATION_TROUBLE_OVER,
        PushType.CREDENTIALS_NEEDED,
        PushType.TARGETS_NEEDED,
    ],
    "missed call": [PushType.MISSED_CALL],
    "message": [PushType.MESSAGE],
    "mailbox": [PushType.MWI],
    "renewal, still reachable": [PushType.RENEW, PushType.STILL_REACHABLE],
    "verify": [PushType.VERIFY],
}


def test_the_table_of_what_android_gets_is_the_one_that_is_sent() -> None:
    rows = _rows(FCM, "push")
    assert set(rows) == set(FCM_ROWS)
    assert {type_ for types in FCM_ROWS.values() for type_ in types} == set(KINDS)
    for name, (priority, _, key) in rows.items():
        for type_ in FCM_ROWS[name]:
            assert KINDS[type_].priority == priority.partition(",")[0].strip("`")
            assert KINDS[type_].collapse_key == key.strip("`–")


def test_every_verb_of_acrobits_is_in_its_table() -> None:
    rows = _rows(WEBHOOK[WEBHOOK.index("## Acrobits") :], "push")
    named = {verb for cells in rows.values() for verb in re.findall(r"`(Notify\w+)`", cells[0])}
    assert named == set(VERBS.values())
