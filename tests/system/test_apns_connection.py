"""Pushes to a service like Apple's over real TLS connections, and everything that such connections do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.pushing import TOKEN, message, send_all, service_for, soon, unread_octets
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import (
    Accepted,
    Outcome,
    PushType,
    Rejected,
    TargetGone,
    Throttled,
    Unavailable,
)
from wakerobin.push.connection import PoolOptions
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.pns import FakePns
from wakerobin.testing.pns_certificates import make_server_context
from wakerobin.testing.pns_script import GoAway, Kill, Refuse, Reset, Silence, Slow


@pytest.fixture
async def pns(tmp_path: Path) -> AsyncIterator[FakePns]:
    async with FakePns(tmp_path) as fake:
        yield fake
        # Whatever a test does to the connection, the client itself must never break the protocol.
        assert fake.thrown_out == []


async def test_a_call_reaches_the_device_with_the_headers_of_a_voip_push(pns: FakePns) -> None:
    async with service_for(pns) as service:
        assert isinstance(await service.send(message(), soon()), Accepted)
    (push,) = pns.pushes
    assert push.token == TOKEN
    assert push.headers["apns-push-type"] == "voip"
    assert push.headers["apns-topic"] == "com.example.phone.voip"
    assert push.headers["apns-priority"] == "10"
    assert "apns-collapse-id" not in push.headers
    assert push.payload["wakerobin"]["type"] == "call"


async def test_a_call_push_is_on_the_wire_in_the_tick_in_which_it_was_wished_for(pns: FakePns) -> None:
    clock = ManualClock()
    async with service_for(pns, clock=clock, timers=clock) as service:
        await clock.settle()
        assert unread_octets(pns) == 0
        service.begin(message(), clock.monotonic() + 5, lambda _outcome: None)
        assert unread_octets(pns) > 0  # nothing was awaited since
        push = await pns.wait_for(lambda push: push.is_accepted)
        assert push.type == "call"


async def test_two_call_connections_are_open_before_the_first_call(pns: FakePns) -> None:
    async with service_for(pns):
        assert pns.connections_seen == 2
        assert pns.pushes == []


async def test_bulk_never_touches_the_connections_of_calls(pns: FakePns) -> None:
    async with service_for(pns) as service:
        call_connections = {connection.number for connection in pns.connections}
        await send_all(service, [message(PushType.EXPIRY_WARNING, f"{i:064x}") for i in range(50)])
        assert {push.connection for push in pns.pushes}.isdisjoint(call_connections)
        await service.send(message(), soon())
        assert pns.pushes[-1].connection in call_connections


async def test_one_stream_at_a_time_until_apple_has_seen_a_valid_token_then_many(pns: FakePns) -> None:
    pns.always(Slow(0.05))
    async with service_for(pns) as service:
        outcomes = await send_all(service, [message(PushType.RENEW, f"{i:064x}") for i in range(60)])
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert pns.thrown_out == []  # a second stream before the first answer would have been an error


async def test_a_thousand_pushes_at_once_arrive_once_each(pns: FakePns) -> None:
    messages = [message(PushType.EXPIRED, f"{i:064x}") for i in range(1000)]
    async with service_for(pns, pool=PoolOptions(bulk_rate=1e6)) as service:
        outcomes = await send_all(service, messages)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert sorted(push.token for push in pns.pushes) == [f"{i:064x}" for i in range(1000)]


async def test_no_more_pushes_are_in_flight_than_allowed(pns: FakePns) -> None:
    pns.always(Slow(0.02))
    async with service_for(pns, pool=PoolOptions(bulk_in_flight=7, bulk_rate=1e6)) as service:
        await send_all(service, [message(PushType.RENEW, f"{i:064x}") for i in range(40)])
        assert max(connection.most_streams for connection in pns.connections) == 7


async def test_bulk_keeps_to_its_rate(pns: FakePns) -> None:
    clock = ManualClock()
    async with service_for(pns, clock=clock, timers=clock, pool=PoolOptions(bulk_rate=20.0)) as service:
        sends = [
            asyncio.ensure_future(service.send(message(PushType.RENEW, f"{i:064x}"), clock.monotonic() + 60))
            for i in range(11)
        ]
        await pns.wait_for(lambda push: True)
        await clock.settle()
        assert len(pns.pushes) == 1  # the bucket holds a twentieth of a second
        clock.advance(400)
        await pns.wait_for(lambda push: len(pns.pushes) >= 8)
        await clock.settle()
        assert len(pns.pushes) in (8, 9)
        clock.advance(300)
        outcomes = await asyncio.gather(*sends)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len(pns.pushes) == 11


async def test_after_goaway_what_was_accepted_is_answered_and_the_next_push_takes_a_new_connection(
    pns: FakePns,
) -> None:
    async with service_for(pns) as service:
        for _ in range(6):
            pns.next(GoAway("this"))
            assert isinstance(await service.send(message(), soon()), Accepted)
    assert len(pns.pushes) == 6
    assert len({push.connection for push in pns.pushes}) == 6


async def test_pushes_above_the_last_id_of_a_goaway_are_sent_again_and_never_twice(pns: FakePns) -> None:
    pool = PoolOptions(bulk_rate=1e6, call_connections=1)
    async with service_for(pns, pool=pool) as service:
        await service.send(message(PushType.RENEW), soon())
        pns.pushes.clear()
        pns.next(*[GoAway("before")] * 3)
        tokens = [f"{i:064x}" for i in range(80)]
        outcomes = await send_all(service, [message(PushType.RENEW, token) for token in tokens])
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    accepted = sorted(push.token for push in pns.pushes if push.is_accepted)
    assert accepted == tokens


async def test_a_refused_stream_is_sent_again_at_once(pns: FakePns) -> None:
    async with service_for(pns) as service:
        pns.next(Reset())
        assert isinstance(await service.send(message(PushType.EXPIRY_WARNING), soon()), Accepted)
    assert [push.status for push in pns.pushes] == [0, 200]
    assert pns.pushes[1].at - pns.pushes[0].at < 1.0


async def test_a_service_that_refuses_every_stream_is_not_asked_for_ever(pns: FakePns) -> None:
    pns.always(Reset())
    async with service_for(pns) as service:
        outcome = await service.send(message(PushType.EXPIRY_WARNING), soon())
    assert outcome == Unavailable("stream reset: REFUSED_STREAM", processed=False)
    assert len(pns.pushes) == 6


async def test_a_reset_stream_of_bulk_may_have_been_processed_and_the_outcome_says_so(pns: FakePns) -> None:
    pns.next(Reset(code=2))
    async with service_for(pns) as service:
        outcome = await service.send(message(PushType.EXPIRY_WARNING), soon())
    assert outcome == Unavailable("stream reset: INTERNAL_ERROR", processed=None)
    assert len(pns.pushes) == 1


async def test_a_call_whose_connection_is_cut_after_it_was_written_goes_out_once_more(pns: FakePns) -> None:
    pns.next(Kill())
    async with service_for(pns) as service:
        assert isinstance(await service.send(message(), soon()), Accepted)
    assert [push.status for push in pns.pushes] == [0, 200]
    assert len({push.headers["apns-id"] for push in pns.pushes}) == 1


async def test_a_call_is_repeated_once_and_no_more(pns: FakePns) -> None:
    pns.always(Kill())
    async with service_for(pns) as service:
        outcome = await service.send(message(), soon())
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is None
    assert len(pns.pushes) == 2


async def test_bulk_on_a_connection_that_is_cut_ends_as_unknown_and_is_not_repeated(pns: FakePns) -> None:
    pns.next(Kill(accepted=True))
    async with service_for(pns) as service:
        outcome = await service.send(message(PushType.RENEW), soon())
        assert isinstance(outcome, Unavailable)
        assert outcome.processed is None
        assert len(pns.pushes) == 1
        assert isinstance(await service.send(message(PushType.RENEW), soon()), Accepted)


async def test_a_cut_connection_takes_no_push_with_it_for_ever(pns: FakePns) -> None:
    """Each of many pushes ends, accepted or told to be unknown; none hangs, none is accepted twice."""
    async with service_for(pns, pool=PoolOptions(bulk_rate=1e6)) as service:
        await service.send(message(PushType.RENEW), soon())
        pns.pushes.clear()
        for token in (f"{i:064x}" for i in range(20, 200, 40)):
            pns.of(token, Kill())
        tokens = [f"{i:064x}" for i in range(200)]
        outcomes = await send_all(service, [message(PushType.RENEW, token) for token in tokens])
    accepted = [push.token for push in pns.pushes if push.is_accepted]
    assert len(accepted) == len(set(accepted))
    for token, outcome in zip(tokens, outcomes, strict=True):
        if isinstance(outcome, Unavailable) and outcome.processed is False:
            assert token not in accepted
        elif isinstance(outcome, Accepted):
            assert token in accepted


async def test_a_silent_service_costs_a_push_its_deadline_and_no_more(pns: FakePns) -> None:
    pns.always(Silence())
    async with service_for(pns) as service:
        began = asyncio.get_running_loop().time()
        outcome = await service.send(message(PushType.EXPIRY_WARNING), soon(0.3))
        assert asyncio.get_running_loop().time() - began < 2.0
    assert outcome == Unavailable("no answer in time", processed=None)


async def test_a_call_without_an_answer_for_a_second_goes_out_over_the_other_connection(pns: FakePns) -> None:
    pns.next(Silence())
    async with service_for(pns, pool=PoolOptions(repeat_after=0.2)) as service:
        assert isinstance(await service.send(message(), soon()), Accepted)
    first, second = pns.pushes
    assert first.connection != second.connection
    assert first.headers["apns-id"] == second.headers["apns-id"]


async def test_a_slow_answer_to_the_first_copy_counts(pns: FakePns) -> None:
    pns.next(Slow(0.5), Silence())
    async with service_for(pns, pool=PoolOptions(repeat_after=0.15)) as service:
        assert isinstance(await service.send(message(), soon()), Accepted)


async def test_a_connection_that_died_silently_is_found_by_ping_and_replaced(pns: FakePns) -> None:
    clock = ManualClock()
    async with service_for(pns, clock=clock, timers=clock, pool=PoolOptions(call_connections=1)) as service:
        (dead,) = pns.connections
        dead.freeze()
        clock.advance(301_000)  # five minutes of silence: PING
        await clock.settle()
        clock.advance(6_000)  # and no answer to it
        await _until(lambda: pns.connections_seen == 2)
        await _until(lambda: dead not in pns.connections or len(pns.connections) == 2)
        outcome = await service.send(message(expires_at=clock.now() + 30_000), clock.monotonic() + 5)
        assert isinstance(outcome, Accepted)


async def test_an_idle_connection_that_answers_pings_stays(pns: FakePns) -> None:
    clock = ManualClock()
    async with service_for(pns, clock=clock, timers=clock, pool=PoolOptions(call_connections=1)):
        (connection,) = pns.connections
        for minutes in range(1, 6):
            clock.advance(301_000)
            await _until(lambda expected=minutes: connection.pings >= expected)
            await clock.settle()
        assert pns.connections_seen == 1


async def test_answers_in_pieces_empty_answers_and_nonsense_are_outcomes(pns: FakePns) -> None:
    cases: list[tuple[Refuse, type[Outcome]]] = [
        (Refuse(status=400, reason="BadDeviceToken", octet_by_octet=True), TargetGone),
        (Refuse(status=503, body=b""), Unavailable),
        (Refuse(status=500, body=b"<html>oops</html>"), Unavailable),
        (Refuse(status=400, body=b"\xff\xfe[[[["), Rejected),
        (Refuse(status=400, body=b'["BadDeviceToken"]'), Rejected),
        (Refuse(status=429, body=b"", retry_after="7"), Throttled),
        (Refuse(status=418, reason="Teapot"), Rejected),
        (Refuse(status=400, body=b"x" * 40_000), Rejected),
    ]
    async with service_for(pns) as service:
        for refuse, kind in cases:
            pns.next(refuse)
            outcome = await service.send(message(PushType.EXPIRY_WARNING), soon())
            assert isinstance(outcome, kind), refuse
        assert isinstance(await service.send(message(PushType.EXPIRY_WARNING), soon()), Accepted)
        assert pns.connections_seen == 3


async def test_long_error_answers_do_not_use_up_the_window_of_the_connection(pns: FakePns) -> None:
    """65,535 octets of answers fit into a connection's first window; more only if they are acknowledged."""
    pns.always(Refuse(status=400, reason="BadPriority", body=b"x" * 10_000))
    async with service_for(pns) as service:
        for _ in range(20):
            assert isinstance(await service.send(message(PushType.EXPIRED), soon()), Rejected)


async def test_a_body_is_split_where_the_window_of_the_peer_is_small(pns: FakePns) -> None:
    pns.window = 100
    async with service_for(pns) as service:
        payload = {"v": 1, "type": "call", "long": "x" * 3000}
        assert isinstance(await service.send(message(payload=payload), soon()), Accepted)
    assert pns.pushes[0].payload["wakerobin"]["long"] == "x" * 3000


async def test_a_token_410_ends_the_target_and_says_since_when(pns: FakePns) -> None:
    pns.forget(TOKEN, at=1_700_000_000_123)
    async with service_for(pns) as service:
        outcome = await service.send(message(), soon())
    assert outcome == TargetGone("Unregistered", gone_at=1_700_000_000_123)


async def test_a_flood_of_dead_tokens_does_not_disturb_a_call(pns: FakePns) -> None:
    for i in range(300):
        pns.forget(f"{i:064x}", at=1_700_000_000_000)
    async with service_for(pns, pool=PoolOptions(bulk_rate=1e6)) as service:
        flood = asyncio.ensure_future(
            send_all(service, [message(PushType.EXPIRED, f"{i:064x}") for i in range(300)])
        )
        assert isinstance(await service.send(message(), soon()), Accepted)
        assert all(isinstance(outcome, TargetGone) for outcome in await flood)
        assert pns.connections_seen == 3


async def test_a_service_that_is_down_is_tried_with_growing_pauses_and_found_again(pns: FakePns) -> None:
    await pns.close()
    clock = ManualClock()
    async with service_for(pns, clock=clock, timers=clock) as service:
        outcome = await service.send(message(PushType.RENEW), clock.monotonic() + 0.0)
        assert outcome == Unavailable("too late to be sent", processed=False)
        call = asyncio.ensure_future(service.send(message(), clock.monotonic() + 30))
        await clock.settle()
        clock.advance(5_000)
        await clock.settle()
        assert not call.done()
        await pns.start()
        for _ in range(20):
            clock.advance(1_000)
            await _turns(50)
            if call.done():
                break
        assert isinstance(await call, Accepted)


async def test_bulk_does_not_wait_for_a_service_that_is_down(pns: FakePns) -> None:
    await pns.close()
    async with service_for(pns) as service:
        outcome = await service.send(message(PushType.RENEW), soon(20.0))
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is False
    assert "refused" in outcome.reason.lower() or "Connect call failed" in outcome.reason


async def test_a_call_towards_a_service_that_is_down_ends_at_its_deadline(pns: FakePns) -> None:
    await pns.close()
    async with service_for(pns) as service:
        outcome = await service.send(message(), soon(0.3))
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is False
    assert "no connection in time" in outcome.reason


async def test_calls_use_the_bulk_connection_when_their_own_are_gone_for_good(pns: FakePns) -> None:
    clock = ManualClock()
    async with service_for(pns, clock=clock, timers=clock) as service:
        calls = list(pns.connections)
        warning = message(PushType.EXPIRY_WARNING, expires_at=clock.now() + 30_000)
        assert isinstance(await service.send(warning, clock.monotonic() + 5), Accepted)
        for _ in range(3):  # the first replacement comes at once, the next ones after pauses
            for connection in [c for c in pns.connections if c.number != pns.pushes[0].connection]:
                connection.kill()
            await clock.settle()
        assert calls[0] not in pns.connections
        outcome = await service.send(message(expires_at=clock.now() + 30_000), clock.monotonic() + 5)
        assert isinstance(outcome, Accepted)


async def test_the_policy_is_asked_with_the_resolved_address_before_anything_is_sent(pns: FakePns) -> None:
    """The operator named the host, which allows loopback; our own listener is not opened by that."""
    policy = DestinationPolicy(own_listeners=frozenset({("127.0.0.1", pns.port)}))
    async with service_for(pns, policy=policy, warm=False) as service:
        outcome = await service.send(message(PushType.RENEW), soon())
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is False
    assert "this server itself" in outcome.reason
    assert pns.connections_seen == 0


async def test_the_addresses_of_a_host_are_tried_in_turn(pns: FakePns) -> None:
    """One dead address among those of the host costs a pause, not the service."""
    asked: list[str] = []

    async def two(host: str, port: int) -> list[tuple[str, int]]:
        asked.append(host)
        return [("127.0.0.254", port), ("127.0.0.1", port)]

    async with service_for(pns, resolve=two, pool=PoolOptions(call_connections=1)) as service:
        assert isinstance(await service.send(message(), soon()), Accepted)
    assert len(asked) == 2


async def test_a_server_with_another_certificate_gets_no_push(pns: FakePns, tmp_path: Path) -> None:
    other_directory = tmp_path / "other"
    other_directory.mkdir()
    other = FakePns(other_directory)
    options = replace(pns.options(), ca_file=str(other.ca_file))
    async with service_for(pns, options=options) as service:
        outcome = await service.send(message(PushType.RENEW), soon())
    assert isinstance(outcome, Unavailable)
    assert "certificate" in outcome.reason.lower()
    assert pns.pushes == []


SETTINGS = bytes.fromhex("000000040000000000")


@pytest.mark.parametrize(
    ("speech", "words"),
    [
        (b"", "connection lost"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "broke HTTP/2"),
        (b"\xff" * 64, "broke HTTP/2"),
        (SETTINGS + bytes.fromhex("00000401ff00000001") + b"\xff\xff\xff\xff", "broke HTTP/2"),
        (SETTINGS + bytes.fromhex("000001060000000000") + b"x", "broke HTTP/2"),
    ],
)
async def test_a_server_that_does_not_speak_http2_is_an_outcome(
    pns: FakePns, speech: bytes, words: str
) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(24)  # the client's preface
        writer.write(speech)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=pns._context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        options = replace(pns.options(), url=f"https://127.0.0.1:{port}")
        async with service_for(pns, options=options) as service:
            outcome = await service.send(message(PushType.RENEW), soon())
    assert isinstance(outcome, Unavailable)
    assert words in outcome.reason


async def test_a_server_without_http2_is_refused_by_name(pns: FakePns, tmp_path: Path) -> None:
    context, ca_file = make_server_context(tmp_path, "127.0.0.1")
    context.set_alpn_protocols(["http/1.1"])

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        options = replace(pns.options(), url=f"https://127.0.0.1:{port}", ca_file=str(ca_file))
        async with service_for(pns, options=options) as service:
            outcome = await service.send(message(PushType.RENEW), soon())
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is False


async def test_a_token_of_the_other_environment_is_tried_there(pns: FakePns, tmp_path: Path) -> None:
    pns.always(Refuse(status=400, reason="BadDeviceToken"))
    sandbox_directory = tmp_path / "sandbox"
    sandbox_directory.mkdir()
    async with FakePns(sandbox_directory) as sandbox:
        bundle = tmp_path / "both.pem"
        bundle.write_bytes(pns.ca_file.read_bytes() + sandbox.ca_file.read_bytes())
        sandbox.team = pns.team
        options = replace(pns.options(), ca_file=str(bundle))
        async with service_for(pns, options=options, second_url=sandbox.url) as service:
            assert isinstance(await service.send(message(), soon()), Accepted)
            known = message(target=replace(message().target, environment="production"))
            outcome = await service.send(known, soon())
            assert outcome == TargetGone("BadDeviceToken", certain=False)
        assert len(sandbox.pushes) == 1
    assert len(pns.pushes) == 2


async def test_what_no_header_can_carry_is_refused_before_it_is_sent(pns: FakePns) -> None:
    async with service_for(pns) as service:
        for token in ("", "nothex", "ab cd", "../../x", "ab\r\nx: y", "ab" * 300):
            outcome = await service.send(message(token=token), soon())
            assert outcome == TargetGone("BadDeviceToken", certain=False)
        bad_topic = message(target=replace(message().target, topic="com.example\r\nx"))
        assert await service.send(bad_topic, soon()) == Rejected("BadTopic")
        too_long = message(payload={"type": "call", "call_id": "x" * 6000})
        assert await service.send(too_long, soon()) == Rejected("PayloadTooLarge")
    assert pns.pushes == []


async def test_a_withdrawn_call_is_not_sent_when_the_service_comes_back(pns: FakePns) -> None:
    await pns.close()
    clock = ManualClock()
    async with service_for(pns, clock=clock, timers=clock) as service:
        outcomes: list[Outcome] = []
        attempt = service.begin(message(), clock.monotonic() + 30, outcomes.append)
        await clock.settle()
        assert outcomes == []
        attempt.withdraw()
        assert outcomes == [Unavailable("withdrawn", processed=False)]
        await pns.start()
        await clock.run_until_true(lambda: len(pns.connections) == 2, within=10_000)
        await clock.settle()
        attempt.withdraw()
    assert pns.pushes == []
    assert len(outcomes) == 1


async def test_a_withdrawn_call_is_not_sent_a_second_time(pns: FakePns) -> None:
    pns.next(Kill())
    async with service_for(pns) as service:
        outcomes: list[Outcome] = []
        attempt = service.begin(message(), soon(), outcomes.append)
        attempt.withdraw()  # too late for the first copy, which is on the wire
        await _until(lambda: outcomes)
    (outcome,) = outcomes
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is None
    assert len(pns.pushes) == 1


async def test_closing_ends_what_is_on_its_way_and_leaves_nothing_behind(pns: FakePns) -> None:
    pns.always(Silence())
    async with service_for(pns) as service:
        before = asyncio.all_tasks()
        sends = [asyncio.ensure_future(service.send(message(PushType.RENEW), soon(60)))]
        sends += [asyncio.ensure_future(service.send(message(), soon(60))) for _ in range(5)]
        await pns.wait_for(lambda push: True)
        await service.close()
        outcomes = await asyncio.gather(*sends)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert asyncio.all_tasks() - before == set()
        outcome = await service.send(message(), soon())
        assert outcome == Unavailable("the pool is closed", processed=False)


async def test_closing_at_any_moment_of_connecting_leaves_nothing_behind(pns: FakePns) -> None:
    for turns in range(30):
        before = asyncio.all_tasks()
        async with service_for(pns, warm=False) as service:
            warming = asyncio.ensure_future(service.warm())
            await _turns(turns)
            await service.close()
            await warming
        # asyncio's own servers take connections in tasks of theirs.
        left = {task for task in asyncio.all_tasks() - before if "_accept_connection" not in repr(task)}
        assert left == set(), turns


async def _until(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
