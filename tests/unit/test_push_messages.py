"""What goes to which target: nothing where it cannot work or does harm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wakerobin.core.delivery.advice import refused_in_bulk, refused_key, service_down
from wakerobin.core.lifetime import Stage
from wakerobin.core.pushes import LANES, Lane, PushType
from wakerobin.core.values import (
    SILENCE,
    Duration,
    Life,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    Secret,
    Silence,
)
from wakerobin.ports.store import OutboxRow
from wakerobin.services.courier.messages import TOGETHER, Addressee, Companion, message_for, targets_for
from wakerobin.services.courier.ration import SilentRation
from wakerobin.services.lives import Wanted
from wakerobin.texts import Catalogues

NOW = 1_735_689_600_000
HOUR = 3600_000
NOTICES = [kind for kind, lane in LANES.items() if lane is not Lane.CALLS]
SILENT = (PushType.RENEW, PushType.VERIFY)


def target(provider: Provider = Provider.APNS, *purposes: Purpose, number: int = 1) -> PushTarget:
    return PushTarget(
        id=number,
        registration_id=number,
        provider=provider,
        purposes=frozenset(purposes or Purpose),
        token=Secret("token"),
        reported_at=NOW,
    )


def addressee(number: int = 1, **capabilities: bool) -> Addressee:
    registration = PushRegistration(
        id=number,
        public_id=f"pr_{number}",
        account_id=number,
        app="phone",
        installation="i",
        sip_instance="urn:uuid:x",
        secret_hash=b"",
        lifetime=Duration(168 * HOUR),
        capabilities=capabilities,
        created_at=NOW,
        payload_key=Secret(f"key {number}"),
    )
    life = Life(
        id=number,
        slot=0,
        expires_at=NOW + number * HOUR,
        next_at=None,
        lifetime=Duration(168 * HOUR),
        renewed_at=NOW,
    )
    return Addressee(registration, f"Account {number}", Wanted(life, Stage.ACTIVE, NOW + HOUR))


def row(kind: PushType, number: int = 1, deadline_at: int = NOW + HOUR) -> OutboxRow:
    return OutboxRow(
        slot=0,
        registration_id=number,
        generation=number,
        kind=kind,
        step=0,
        not_before=NOW,
        deadline_at=deadline_at,
    )


@pytest.mark.parametrize("kind", NOTICES)
def test_nothing_but_a_call_goes_to_a_token_that_has_to_ring(kind: PushType) -> None:
    assert targets_for(kind, [target(Provider.APNS, Purpose.CALL)]) == ()


@pytest.mark.parametrize("provider", Provider)
@pytest.mark.parametrize("kind", SILENT)
def test_what_is_silent_goes_only_where_silence_is_allowed(kind: PushType, provider: Provider) -> None:
    found = targets_for(kind, [target(provider)])
    assert bool(found) is (SILENCE[provider] is Silence.ALLOWED)


@pytest.mark.parametrize("kind", [kind for kind in NOTICES if kind not in SILENT])
def test_nothing_is_shown_to_a_phone_that_shows_nothing(kind: PushType) -> None:
    assert targets_for(kind, [target()], {"notifications": False}) == ()
    assert targets_for(kind, [target()], {"notifications": True})
    assert targets_for(kind, [target()])


def test_an_iphone_that_runs_nothing_in_the_background_gets_no_renewal_and_others_do() -> None:
    targets = [target(Provider.APNS), target(Provider.FCM)]
    assert targets_for(PushType.RENEW, targets, {"background_refresh": False}) == (targets[1],)
    assert targets_for(PushType.RENEW, targets, {"notifications": False}) == tuple(targets)
    assert targets_for(PushType.VERIFY, targets, {"background_refresh": False}) == tuple(targets)


def test_the_first_warning_may_be_renewed_by_an_extension_and_no_later_one() -> None:
    def is_mutable(kind: PushType, provider: Provider, whom: Addressee) -> bool:
        return message_for(row(kind), whom, target(provider), Catalogues(), NOW).is_mutable

    able = addressee(service_extension=True)
    warned = replace(able, wanted=replace(able.wanted, life=replace(able.wanted.life, warned_at=NOW)))
    assert is_mutable(PushType.EXPIRY_WARNING, Provider.APNS, able)
    assert not is_mutable(PushType.EXPIRY_WARNING, Provider.APNS, warned)
    assert not is_mutable(PushType.EXPIRY_WARNING, Provider.APNS, addressee())
    assert not is_mutable(PushType.EXPIRY_WARNING, Provider.FCM, able)
    assert not is_mutable(PushType.EXPIRED, Provider.APNS, able)


def test_what_is_shown_about_a_life_replaces_itself_and_missed_calls_count_up() -> None:
    def key(kind: PushType) -> str:
        return message_for(row(kind), addressee(), target(), Catalogues(), NOW).collapse_key

    assert {key(kind) for kind in TOGETHER} == {"life"}
    assert key(PushType.MISSED_CALL) == "missed"
    assert key(PushType.MWI) == "mwi"
    assert key(PushType.VERIFY) == key(PushType.MESSAGE) == ""


def test_a_push_for_several_accounts_is_of_use_as_long_as_the_last_of_them_needs_it() -> None:
    first, second = row(PushType.EXPIRY_WARNING), row(PushType.EXPIRY_WARNING, 2, deadline_at=NOW + 9 * HOUR)
    companion = Companion(second, addressee(2), target(number=2))
    one = message_for(first, addressee(), target(), Catalogues(), NOW, [companion])
    assert one.expires_at == NOW + 9 * HOUR
    assert one.payload["expires_at"] == (NOW + HOUR) // 1000
    (other,) = one.payload["also"]
    assert other["registration"] == "pr_2"
    assert other["generation"] == 2
    assert other["life"] == {"stage": "active", "expires_at": (NOW + 2 * HOUR) // 1000}
    alone = message_for(second, addressee(2), target(number=2), Catalogues(), NOW)
    assert other["id"] == alone.id


def test_apples_ration_is_two_an_hour_for_each_phone() -> None:
    ration = SilentRation()
    for at in (NOW, NOW + 10):
        assert ration.wait("phone", "a", at) == 0
        ration.spend("phone", "a", at)
    assert ration.wait("phone", "a", NOW + 20) == HOUR - 20
    assert ration.wait("phone", "b", NOW + 20) == 0
    assert ration.wait("other", "a", NOW + 20) == 0
    assert ration.wait("phone", "a", NOW + HOUR) == 0


def test_a_push_that_did_not_leave_is_not_counted_against_the_ration() -> None:
    ration = SilentRation()
    ration.give_back("phone", "a", NOW)
    for at in (NOW, NOW + 10):
        ration.spend("phone", "a", at)
    ration.give_back("phone", "a", NOW + 10)
    assert ration.wait("phone", "a", NOW + 20) == 0
    ration.give_back("phone", "a", NOW)
    ration.spend("phone", "b", NOW + 2 * HOUR)
    assert ration.wait("phone", "a", NOW + 20) == 0


@pytest.mark.parametrize("provider", Provider)
@pytest.mark.parametrize("reason", ["BadDeviceToken", "SENDER_ID_MISMATCH", "403", "InvalidProviderToken"])
def test_an_operator_is_told_in_full_sentences_and_where_to_look(provider: Provider, reason: str) -> None:
    for words in (refused_in_bulk("my-app", provider, reason), refused_key("my-app", provider, reason)):
        assert "[apps.my-app." in words
        assert words.endswith(".")
        assert "{" not in words
    assert "my-app" in service_down("my-app", provider, "push.example", reason)


def test_what_a_push_service_says_is_told_in_short_and_on_one_line() -> None:
    words = service_down("my-app", Provider.WEBHOOK, "", "a\nb " + "x" * 5000)
    assert "\n" not in words
    assert "(a b x" in words
    assert len(words) < 500
    assert "(no reason given)" in refused_key("my-app", Provider.WEBHOOK, "")
