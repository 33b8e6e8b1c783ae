"""What the settings of an app's push services may be, and what the operator reads where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from wakerobin.core.errors import ConfigurationError
from wakerobin.settings import load

APP = '[apps.phone]\nenrolment_key = "k"\nregistrars = ["pbx.example"]\n'
FCM = APP + '[apps.phone.fcm]\nservice_account_file = "a.json"\n'
WEBPUSH = APP + '[apps.phone.webpush]\nvapid_key_file = "v.pem"\nsubject = "mailto:a@example.com"\n'
WEBHOOK = (
    APP + '[apps.phone.webhook]\nurl = "https://hooks.example/p"\nsecrets = ["whsec_QUJD", "whsec_REVG"]\n'
)


def loaded(tmp_path: Path, text: str) -> str:
    path = tmp_path / "wakerobin.toml"
    path.write_text(text)
    try:
        load(path, {})
    except ConfigurationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", [FCM, WEBPUSH, WEBHOOK, APP + "[apps.phone.acrobits]\n"])
def test_a_push_service_that_is_set_up_is_taken(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text) == ""


def test_every_secret_of_a_webhook_is_read_and_hidden(tmp_path: Path) -> None:
    path = tmp_path / "wakerobin.toml"
    path.write_text(WEBHOOK)
    webhook = load(path, {}).apps["phone"].webhook
    assert webhook is not None
    assert [one.reveal() for one in webhook.secrets] == ["whsec_QUJD", "whsec_REVG"]
    assert "QUJD" not in repr(webhook)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (APP + "[apps.phone.fcm]\n", "apps.phone.fcm.service_account_file: is missing; Firebase console"),
        (FCM + 'url = "http://fcm.example"\n', "apps.phone.fcm.url = 'http://fcm.example': is no https"),
        (FCM + 'url = "https://h:99999"\n', "apps.phone.fcm.url"),
        (FCM + 'token_url = "ftp://x"\n', "apps.phone.fcm.token_url"),
        (APP + "[apps.phone.webpush]\n", "apps.phone.webpush.vapid_key_file: is missing"),
        (WEBPUSH.replace("mailto:", ""), "apps.phone.webpush.subject"),
        (APP + '[apps.phone.webhook]\nsecrets = ["whsec_QUJD"]\n', "apps.phone.webhook.url: is missing"),
        (WEBHOOK.replace("https:", "ftp:"), "apps.phone.webhook.url"),
        (APP + '[apps.phone.webhook]\nurl = "https://h"\n', "apps.phone.webhook.secrets: is missing"),
        (APP + '[apps.phone.acrobits]\nurl = "nonsense"\n', "apps.phone.acrobits.url"),
        (APP + 'push_privacy = "some"\n', "apps.phone.push_privacy = 'some': choose one of full, none, enc"),
        (APP + 'handover = "some"\n', "apps.phone.handover = 'some': choose one of always, alternate"),
        (APP + 'decline = "some"\n', "apps.phone.decline = 'some': choose one of all, this-phone"),
    ],
)
def test_what_cannot_work_is_named_with_its_key(tmp_path: Path, text: str, words: str) -> None:
    assert words in loaded(tmp_path, text)
