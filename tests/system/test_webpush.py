"""Web Push over real connections: what arrives is what was meant, and nothing goes where it must not."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.pushing import LoopClock, message, soon
from tests.system.webpush_double import Subscription, WebPushDouble, sending
from wakerobin import log, metrics
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import (
    Accepted,
    Outcome,
    PushMessage,
    PushType,
    Rejected,
    TargetGone,
    Unavailable,
)
from wakerobin.core.values import Provider, PushTarget, Secret
from wakerobin.push.connection import Surroundings
from wakerobin.push.webpush import WebPushService, read_vapid_key
from wakerobin.push.webpush.vapid import make_key_file
from wakerobin.testing.pns_script import Refuse

HOST = "127.83.1.1"


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[WebPushDouble]:
    async with WebPushDouble(tmp_path, HOST) as made:
        yield made
        assert made.thrown_out == []


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.configure("debug", "json", stream)
    yield stream
    log.configure("info")


def to(double: WebPushDouble, where: Subscription, type_: PushType, **changes: Any) -> PushMessage:
    words: dict[str, Any] = {
        "title": "Anna",
        "text": "Open the app.",
        "expires_at": int((time.time() + 30) * 1000),
    }
    return replace(message(type_), target=double.target(where), **(words | changes))


def counted(type_: PushType) -> float:
    return float(metrics.PUSHES_SHOWING_NOTHING.labels(type_.value)._value.get())


async def test_a_browser_reads_and_shows_every_push_that_it_gets(double: WebPushDouble) -> None:
    browser = double.subscribe("browser")
    types = [type_ for type_ in PushType if type_ is not PushType.RENEW]
    async with sending(double.options(page="https://phone.example/")) as service:
        for type_ in types:
            assert await service.send(to(double, browser, type_), soon()) == Accepted()
    assert [push.type for push in double.pushes] == [type_.value for type_ in types]
    for push in double.pushes:
        assert push.message["web_push"] == 8030
        assert push.shown["title"] == "Anna"
        assert push.shown["body"] == "Open the app."
        assert push.shown["navigate"] == "https://phone.example/"


async def test_an_endpoint_that_came_without_keys_gets_an_empty_push(double: WebPushDouble) -> None:
    """RFC 8599 section 12: there is no way to say more."""
    one = to(double, double.subscribe("browser"), PushType.CALL)
    bare = replace(one.target, token_kind="bare", p256dh="", auth=Secret(""))
    async with sending(double.options()) as service:
        assert await service.send(replace(one, target=bare), soon()) == Accepted()
    (push,) = double.pushes
    assert (push.octets, push.message) == (0, {})
    assert push.headers["urgency"] == "high"
    assert push.headers["authorization"].startswith("vapid t=")


async def test_a_push_that_shows_nothing_never_leaves_for_a_browser_and_is_counted(
    double: WebPushDouble,
) -> None:
    browser = double.subscribe("browser")
    before = {type_: counted(type_) for type_ in (PushType.RENEW, PushType.EXPIRED)}
    async with sending(double.options()) as service:
        for one in (
            to(double, browser, PushType.RENEW),
            to(double, browser, PushType.RENEW, title="", text=""),
            to(double, browser, PushType.EXPIRED, title="", text=""),
        ):
            assert await service.send(one, soon()) == Rejected("ShowsNothing")
    assert double.pushes == []
    assert {type_: counted(type_) - before[type_] for type_ in before} == {
        PushType.RENEW: 2.0,
        PushType.EXPIRED: 1.0,
    }


async def test_an_app_behind_unifiedpush_gets_silent_pushes_too(double: WebPushDouble) -> None:
    app = double.subscribe("app", Provider.UNIFIEDPUSH)
    async with sending(double.options(), Provider.UNIFIEDPUSH) as service:
        silent = to(double, app, PushType.RENEW, title="", text="")
        assert await service.send(silent, soon()) == Accepted()
    (push,) = double.pushes
    assert push.message == {"wakerobin": silent.payload}
    assert push.headers["urgency"] == "low"
    assert push.headers["topic"] == "life"


async def test_pushes_of_different_lengths_look_the_same_on_the_way(double: WebPushDouble) -> None:
    browser = double.subscribe("browser")
    async with sending(double.options()) as service:
        for text in ("a", "b" * 50, "c" * 100):
            await service.send(to(double, browser, PushType.EXPIRED, text=text), soon())
    assert len({push.octets for push in double.pushes}) == 1


async def test_a_push_service_with_a_lower_limit_is_given_the_essential(double: WebPushDouble) -> None:
    double.most_octets = 1000
    browser = double.subscribe("browser")
    payload = {
        "v": 1,
        "type": "call",
        "id": "x",
        "call_id": "y",
        "caller": {"name": "n" * 600, "number": "1"},
    }
    async with sending(double.options()) as service:
        one = to(double, browser, PushType.CALL, payload=payload)
        assert await service.send(one, soon()) == Accepted()
        assert [push.status for push in double.pushes] == [413, 201]
        assert "caller" not in double.pushes[-1].message["wakerobin"]
        assert double.pushes[-1].shown["title"] == "Anna"
        double.most_octets = 100
        assert await service.send(one, soon()) == Rejected("status 413")
    assert [push.status for push in double.pushes] == [413, 201, 413, 413]


async def test_a_withdrawn_push_is_not_shortened_and_sent_again(double: WebPushDouble) -> None:
    double.most_octets = 100
    browser = double.subscribe("browser")
    outcomes: list[Outcome] = []
    async with sending(double.options()) as service:
        await service.send(to(double, browser, PushType.EXPIRED), soon())
        before = len(double.pushes)
        attempt = service.begin(to(double, browser, PushType.CALL), soon(), outcomes.append)
        attempt.withdraw()
        await service.send(to(double, browser, PushType.EXPIRED), soon())
    assert len(outcomes) == 1
    assert [push.type for push in double.pushes[before:]].count("call") <= 1


async def test_a_subscription_that_is_gone_or_unknown_or_anothers_is_told(
    double: WebPushDouble, tmp_path: Path
) -> None:
    browser, gone = double.subscribe("browser"), double.subscribe("gone")
    gone.is_gone = True
    other_key = tmp_path / "other.pem"
    make_key_file(other_key)
    async with sending(double.options()) as service:
        assert await service.send(to(double, gone, PushType.CALL), soon()) == TargetGone("status 410")
        unknown = replace(browser, path="/push/nobody")
        assert await service.send(to(double, unknown, PushType.CALL), soon()) == TargetGone("status 404")
    async with sending(double.options(vapid_key_file=str(other_key))) as service:
        suspect = await service.send(to(double, browser, PushType.CALL), soon())
        assert suspect == TargetGone("status 403", certain=False)


async def test_a_token_that_was_not_liked_is_signed_anew_for_the_next_push(double: WebPushDouble) -> None:
    browser = double.subscribe("browser")
    double.next(Refuse(status=403, reason="BadJwtToken"))
    async with sending(double.options()) as service:
        refused = await service.send(to(double, browser, PushType.CALL), soon())
        assert refused == Rejected("status 403 BadJwtToken", ours=True)
        for _ in range(2):
            assert await service.send(to(double, browser, PushType.CALL), soon()) == Accepted()
    first, second, third = (push.headers["authorization"] for push in double.pushes)
    assert first != second
    assert second == third


async def test_a_redirect_is_not_followed(double: WebPushDouble) -> None:
    browser = double.subscribe("browser")
    double.next(Refuse(status=307), Refuse(status=308))
    async with sending(double.options()) as service:
        assert isinstance(await service.send(to(double, browser, PushType.EXPIRED), soon()), Unavailable)
        moved = await service.send(to(double, browser, PushType.EXPIRED), soon())
    assert moved == TargetGone("status 308", certain=False)
    assert len(double.pushes) == 2


async def test_a_push_service_that_an_app_chose_does_not_tell_this_server_the_time(
    double: WebPushDouble,
) -> None:
    heard: list[int] = []
    options, clock = double.options(), LoopClock()
    around = Surroundings(clock, clock, os.urandom, on_date=heard.append)
    service = WebPushService(options, read_vapid_key(options, "a"), around, DestinationPolicy())
    try:
        one = to(double, double.subscribe("browser"), PushType.CALL)
        assert await service.send(one, soon()) == Accepted()
    finally:
        await service.close()
    assert heard == []


def at(target: PushTarget, url: str) -> PushTarget:
    return replace(target, token=Secret(url))


async def test_an_endpoint_leads_only_where_the_operator_lets_it(double: WebPushDouble) -> None:
    browser = double.subscribe("browser")
    target = double.target(browser)
    here = f"{HOST}:{double.port}"
    unnamed = double.options(hosts=())
    async with sending(unnamed) as service:
        for url in (
            f"https://{here}/push/browser",
            f"http://{here}/push/browser",
            f"https://user@{here}/push/browser",
        ):
            one = replace(to(double, browser, PushType.CALL), target=at(target, url))
            assert await service.send(one, soon()) == Rejected("BadEndpoint")
        # On the usual port it is the address that is refused, at the connect.
        for host in (HOST, "localhost", "10.1.2.3", "169.254.169.254", "[::1]"):
            one = replace(to(double, browser, PushType.RENEW), target=at(target, f"https://{host}/x"))
            one = replace(one, type=PushType.EXPIRED)
            outcome = await service.send(one, soon(5))
            assert isinstance(outcome, Unavailable)
            assert outcome.processed is False
            assert "not named" in outcome.reason or "allow_private" in outcome.reason
    assert double.connections == []
    assert double.pushes == []


async def test_a_name_that_now_leads_inside_is_refused_when_it_is_connected_to(
    double: WebPushDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the endpoint was harmless when it was enrolled."""
    options = double.options(hosts=())
    clock = LoopClock()
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        asked.append(host)
        return [(HOST, double.port)]

    around = Surroundings(clock, clock, os.urandom, resolve)
    service = WebPushService(options, read_vapid_key(options, "a"), around, DestinationPolicy())
    target = at(double.target(double.subscribe("browser")), "https://push.example/push/browser")
    try:
        one = replace(to(double, double.subscribe("x"), PushType.EXPIRED), target=target)
        outcome = await service.send(one, soon())
    finally:
        await service.close()
    assert isinstance(outcome, Unavailable)
    assert asked
    assert set(asked) == {"push.example"}
    assert double.connections == []


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"p256dh": ""}, TargetGone("BadSubscriptionKeys")),
        ({"p256dh": "AAAA"}, TargetGone("BadSubscriptionKeys")),
        ({"auth": Secret("AAAA")}, TargetGone("BadSubscriptionKeys")),
        ({"token": Secret("")}, Rejected("BadEndpoint")),
        ({"token": Secret("ab" * 32)}, Rejected("BadEndpoint")),
    ],
)
async def test_a_target_that_is_none_is_refused_here(
    double: WebPushDouble, changes: dict[str, Any], outcome: Outcome
) -> None:
    target = replace(double.target(double.subscribe("browser")), **changes)
    async with sending(double.options()) as service:
        one = replace(message(PushType.CALL), target=target)
        assert await service.send(one, soon()) == outcome
    assert double.pushes == []


async def test_no_log_tells_an_endpoint_a_token_or_a_key(double: WebPushDouble, logged: io.StringIO) -> None:
    browser = double.subscribe("secret-browser")
    double.next(Refuse(status=403, reason="BadJwtToken"), Refuse(status=429))
    async with sending(double.options()) as service:
        for type_ in (PushType.CALL, PushType.RENEW, PushType.EXPIRED, PushType.EXPIRED):
            await service.send(to(double, browser, type_), soon())
        bad = at(double.target(browser), "https://u@push.example/secret-browser")
        await service.send(replace(message(PushType.CALL), target=bad), soon())
    told = logged.getvalue()
    assert "push_endpoint_refused" in told
    assert "push_shows_nothing" in told
    tokens = [push.headers["authorization"].partition("t=")[2].split(",")[0] for push in double.pushes]
    for secret in ("secret-browser", double.target(browser).auth.reveal(), *tokens):
        assert secret not in told


async def test_a_service_with_nobody_to_talk_to_ends_its_pushes_in_time(double: WebPushDouble) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        options = double.options(hosts=(f"{HOST}:{port}",))
        target = at(double.target(double.subscribe("browser")), f"https://{HOST}:{port}/x")
        began = asyncio.get_running_loop().time()
        async with sending(options) as service:
            for type_ in (PushType.CALL, PushType.EXPIRED):
                one = replace(to(double, double.subscribe("y"), type_), target=target)
                outcome = await service.send(one, soon(0.5))
                assert isinstance(outcome, Unavailable)
                assert outcome.processed is False
        assert asyncio.get_running_loop().time() - began < 5.0
