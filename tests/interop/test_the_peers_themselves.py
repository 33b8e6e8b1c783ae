"""The peers without the server between them: what they prove about it later, they must be able to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.kamailio import Kamailio
from tests.interop.peers.lab import Lab
from tests.interop.peers.network import Program, find_program
from tests.interop.peers.nghttpd import Nghttpd
from tests.interop.peers.probe import Probe
from tests.interop.peers.sipp import Call, Sipp
from tests.interop.peers.wire import final_statuses

USERS = {"alice": "pw-alice", "bob": "pw-bob"}


async def pbx_of(lab: Lab) -> Kamailio:
    return await lab.start(Kamailio(*lab.place(), USERS))


async def awake_phone(lab: Lab, pbx: Kamailio, *, transport: str = "udp", answers: bool = False) -> Baresip:
    account = PhoneAccount("alice", "pw-alice", pbx.address, transport=transport, answers=answers)
    phone = lab.keep(Baresip(*lab.place(), [account]))
    await phone.wake()
    await phone.wait_registered()
    return phone


async def bob_calls_alice(
    lab: Lab,
    pbx: Kamailio,
    scenario: str,
    *,
    transport: str = "udp",
    delay_ms: int = 0,
    reinvite: bool = False,
    status: int = 0,
    count: int = 1,
    domain: str = "pbx.test",
) -> Sipp:
    caller = Sipp(
        scenario,
        *lab.place(),
        target=pbx.place,
        transport=transport,
        calls=[Call("bob", "pw-bob", "alice")],
        count=count,
        rate=200,
        delay_ms=delay_ms,
        reinvite=reinvite,
        status=status,
        keys={"domain": domain},
    )
    return await lab.start(caller)


@contextlib.contextmanager
def probing(
    lab: Lab, pbx: Kamailio, user: str = "alice", *, login: str = "", contact: str = ""
) -> Iterator[Probe]:
    ip, _ = lab.place()
    probe = Probe(ip, pbx.place, user, f"pw-{user}", login=login, contact=contact)
    try:
        yield probe
    finally:
        probe.close()


@pytest.mark.parametrize(("callers", "phones"), [("udp", "udp"), ("tcp", "tcp"), ("udp", "tcp")])
async def test_a_caller_is_answered_changes_the_session_and_hangs_up(
    lab: Lab, callers: str, phones: str
) -> None:
    pbx = await pbx_of(lab)
    await pbx.option("invite_auth", 1)
    phone = await awake_phone(lab, pbx, transport=phones, answers=True)
    caller = await bob_calls_alice(lab, pbx, "uac_answer", transport=callers, delay_ms=100, reinvite=True)
    result = await caller.succeeded()
    assert final_statuses(result.messages, "INVITE") == [407, 200, 200]
    await phone.wait_event("CALL_CLOSED")
    requests = [m.method for m in phone.messages() if not m.sent and m.status is None]
    assert requests == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]


async def test_a_second_record_routing_proxy_may_stand_behind_the_pbx(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    edge = await pbx_of(lab)
    phone = await awake_phone(lab, edge)
    with probing(lab, pbx, contact=f"sip:alice@{edge.address}") as probe:
        await probe.authenticated()
    caller = await bob_calls_alice(lab, pbx, "uac_answer", delay_ms=50, reinvite=True)
    await phone.wait_event("CALL_INCOMING")
    await phone.answer()
    await caller.succeeded()
    passed = [m.method for m in edge.messages() if not m.sent and m.status is None]
    assert passed[-5:] == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]
    assert len((await phone.wait_message("INVITE")).headers("Record-Route")) == 2

    waiting = await bob_calls_alice(lab, pbx, "uac_wait_bye")
    await phone.wait_event("CALL_INCOMING")
    await phone.answer()
    await phone.wait_event("CALL_ESTABLISHED")
    await phone.hang_up()
    await waiting.succeeded()
    assert "BYE" in [m.method for m in edge.messages() if m.sent and m.status is None]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_callee_hangs_up(lab: Lab, transport: str) -> None:
    pbx = await pbx_of(lab)
    phone = await awake_phone(lab, pbx, transport=transport)
    caller = await bob_calls_alice(lab, pbx, "uac_wait_bye", transport=transport)
    await phone.wait_event("CALL_INCOMING")
    await caller.wait_message("SIP/2.0 180")
    await phone.answer()
    await phone.wait_event("CALL_ESTABLISHED")
    await phone.hang_up()
    await caller.succeeded()


async def test_a_caller_gives_up_while_it_rings(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    phone = await awake_phone(lab, pbx)
    caller = await bob_calls_alice(lab, pbx, "uac_cancel", delay_ms=200)
    await phone.wait_event("CALL_INCOMING")
    result = await caller.succeeded()
    assert final_statuses(result.messages, "INVITE") == [487]
    await phone.wait_event("CALL_CLOSED")


@pytest.mark.parametrize(
    ("delay_ms", "answers", "ends"),
    [(200, False, {487}), (200, True, {200}), (0, True, {200, 487})],
    ids=["rings", "has answered", "at the same moment"],
)
async def test_a_cancel_and_the_answer_may_cross(
    lab: Lab, delay_ms: int, answers: bool, ends: set[int]
) -> None:
    pbx = await pbx_of(lab)
    await awake_phone(lab, pbx, answers=answers)
    caller = await bob_calls_alice(lab, pbx, "uac_cancel_crossing", delay_ms=delay_ms)
    result = await caller.succeeded()
    statuses = set(final_statuses(result.messages, "INVITE"))
    assert len(statuses) == 1
    assert statuses <= ends


async def test_a_caller_sees_the_status_that_the_callee_chose(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    phone = await awake_phone(lab, pbx)
    caller = await bob_calls_alice(lab, pbx, "uac_expect", status=486)
    await phone.wait_event("CALL_INCOMING")
    await phone.hang_up()
    await caller.succeeded()


async def test_a_scenario_that_is_not_followed_is_told_as_a_failure(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    await pbx.fail_calls("alice", 404)
    caller = await bob_calls_alice(lab, pbx, "uac_expect", status=486)
    result = await caller.finished()
    assert (result.is_clean, result.successful, result.failed) == (False, 0, 1)
    assert final_statuses(result.messages, "INVITE") == [404]


async def test_fifty_calls_in_parallel_are_told_apart(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    await pbx.fail_calls("alice", 480)
    caller = await bob_calls_alice(lab, pbx, "uac_expect", status=480, count=50)
    result = await caller.succeeded()
    assert result.successful == 50
    assert [final_statuses(call, "INVITE") for call in result.calls().values()] == [[480]] * 50


async def test_a_desk_phone_rings_beside_the_softphone_until_one_answers(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    desk = await desk_phone(lab, pbx, "uas_ring")
    phone = await awake_phone(lab, pbx)
    assert len(await pbx.contacts("alice")) == 2
    caller = await bob_calls_alice(lab, pbx, "uac_answer", delay_ms=50)
    await phone.wait_event("CALL_INCOMING")
    await desk.wait_message("INVITE")
    await phone.answer()
    await desk.succeeded()
    await caller.succeeded()


@pytest.mark.parametrize(
    ("scenario", "status"), [("uas_answer", 200), ("uas_decline", 603)], ids=["answers", "declines"]
)
async def test_a_desk_phone_takes_a_call_or_refuses_it(lab: Lab, scenario: str, status: int) -> None:
    pbx = await pbx_of(lab)
    desk = await desk_phone(lab, pbx, scenario, status=status)
    what = "uac_answer" if status == 200 else "uac_expect"
    caller = await bob_calls_alice(lab, pbx, what, delay_ms=50, status=status, reinvite=True)
    await caller.succeeded()
    await desk.succeeded()


async def desk_phone(lab: Lab, pbx: Kamailio, scenario: str, *, status: int = 0) -> Sipp:
    ip, port = lab.place()
    desk = Sipp(scenario, ip, port, delay_ms=100, status=status, keys={"user": "desk"})
    await lab.start(desk)
    registering = await lab.start(
        Sipp(
            "register",
            ip,
            port + 1,
            target=pbx.place,
            calls=[Call("alice", "pw-alice")],
            keys={"contact_port": port, "expires": 600},
        )
    )
    await registering.succeeded()
    return desk


async def test_options_through_the_pbx_reach_the_phone(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    phone = await awake_phone(lab, pbx)
    asking = await bob_calls_alice(lab, pbx, "uac_options")
    await asking.succeeded()
    assert (await phone.wait_message("OPTIONS")).method == "OPTIONS"


async def test_the_pbx_relays_nothing_beyond_this_machine(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    caller = await bob_calls_alice(lab, pbx, "uac_expect", status=403, domain="192.0.2.1")
    await caller.succeeded()
    outward = [m for m in pbx.messages() if m.sent and ":127." not in m.destination]
    assert outward == []


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_the_pbx_challenges_with_the_algorithm_that_it_was_given(lab: Lab, algorithm: str) -> None:
    pbx = await lab.start(Kamailio(*lab.place(), USERS, sha256=algorithm == "SHA-256"))
    with probing(lab, pbx) as probe:
        challenged = await probe.register()
        challenge = challenged.header("WWW-Authenticate")
        assert ("algorithm=SHA-256" in challenge) is (algorithm == "SHA-256")
        answer, _ = await probe.authenticated()
        assert answer.status == 200
        assert [one.uri for one in await pbx.contacts("alice")] == [f"sip:alice@{probe.me}"]
    assert await pbx.registers_seen("alice") == 3


async def test_a_nonce_is_good_once_where_the_pbx_is_so(lab: Lab) -> None:
    pbx = await lab.start(Kamailio(*lab.place(), USERS, one_time_nonce=True))
    with probing(lab, pbx) as probe:
        answer, credentials = await probe.authenticated()
        assert answer.status == 200
        again = await probe.register(authorization=credentials)
    assert again.status == 401
    assert "stale=true" in again.header("WWW-Authenticate")


async def test_a_digest_user_name_may_differ_from_the_user(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    await pbx.add_user("dora", "pw-dora", login="4711")
    with probing(lab, pbx, "dora", login="4711") as probe:
        assert (await probe.authenticated())[0].status == 200
    with probing(lab, pbx, "dora") as probe:
        assert (await probe.authenticated())[0].status == 403


@pytest.mark.parametrize(
    ("how", "status", "header"),
    [
        ("403", 403, None),
        ("404", 404, None),
        ("503:17", 503, ("Retry-After", "17")),
        ("423:900", 423, ("Min-Expires", "900")),
        ("301:sip:127.0.0.1:5099", 301, ("Contact", "<sip:127.0.0.1:5099>")),
    ],
)
async def test_a_register_meets_the_trouble_that_was_chosen_and_then_no_more(
    lab: Lab, how: str, status: int, header: tuple[str, str] | None
) -> None:
    pbx = await pbx_of(lab)
    with probing(lab, pbx) as probe:
        await pbx.fail("alice", how)
        for _ in range(2):
            answer = await probe.register()
            assert answer.status == status
            assert header is None or answer.header(header[0]) == header[1]
        await pbx.fail("alice", f"once:{how}")
        assert (await probe.register()).status == status
        assert (await probe.authenticated())[0].status == 200


async def test_troubles_after_the_challenge(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    with probing(lab, pbx) as probe:
        await pbx.fail("alice", "times:2:auth403")
        assert [(await probe.authenticated())[0].status for _ in range(3)] == [403, 403, 200]
        await pbx.fail("alice", "stale")
        answer, _ = await probe.authenticated()
        assert answer.status == 401
        assert "stale=true" in answer.header("WWW-Authenticate")
        await pbx.fail("alice", "unknown_nonce")
        answer, _ = await probe.authenticated()
        assert answer.status == 401
        assert "stale" not in answer.header("WWW-Authenticate")
        await pbx.fail("alice", None)
        assert (await probe.authenticated())[0].status == 200


async def test_a_wrong_password_is_refused_or_challenged_again_as_the_pbx_is(lab: Lab) -> None:
    pbx = await lab.start(Kamailio(*lab.place(), {"alice": "another"}))
    with probing(lab, pbx) as probe:
        assert (await probe.authenticated())[0].status == 403
        await pbx.option("badpw", 0)
        answer, _ = await probe.authenticated()
    assert answer.status == 401
    assert "stale" not in answer.header("WWW-Authenticate")


async def test_a_short_life_is_too_brief_and_a_long_one_is_cut(lab: Lab) -> None:
    pbx = await lab.start(Kamailio(*lab.place(), USERS, max_expires=1_800))
    await pbx.option("min_expires", 900)
    with probing(lab, pbx) as probe:
        brief, _ = await probe.authenticated(expires=600)
        assert (brief.status, brief.header("Min-Expires")) == (423, "900")
        granted, _ = await probe.authenticated(expires=99_999)
        assert "expires=1800" in granted.header("Contact")
        assert (await probe.authenticated(expires=0))[0].status == 200
    assert await pbx.contacts("alice") == []


async def test_silence_and_a_frozen_pbx_answer_nothing(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    with probing(lab, pbx) as probe:
        await pbx.fail("alice", "once:silence")
        with pytest.raises(TimeoutError):
            await probe.register(within=0.2)
        assert (await probe.register()).status == 401
        pbx.freeze()
        with pytest.raises(TimeoutError):
            await probe.register(within=0.2)
        pbx.thaw()
        assert (await probe.register()).status == 401
    assert await pbx.registers_seen("alice") == 4


async def test_a_restarted_pbx_has_forgotten_its_contacts_but_not_its_users(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    with probing(lab, pbx) as probe:
        await probe.authenticated()
        assert len(await pbx.contacts("alice")) == 1
        await pbx.restart()
        assert await pbx.contacts("alice") == []
        assert (await probe.authenticated())[0].status == 200
        await pbx.remove_contact("alice", f"sip:alice@{probe.me}")
        assert await pbx.contacts("alice") == []


async def test_a_phone_that_falls_asleep_says_nothing_and_one_that_quits_unregisters(
    lab: Lab,
) -> None:
    pbx = await pbx_of(lab)
    phone = await awake_phone(lab, pbx)
    await phone.vanish()
    assert len(await pbx.contacts("alice")) == 1
    await phone.wake()
    await phone.wait_registered()
    assert len(await pbx.contacts("alice")) == 2, "a phone that starts anew has a new Contact"
    await phone.quit()
    assert len(await pbx.contacts("alice")) == 1


async def test_two_phones_call_each_other(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    alice = await awake_phone(lab, pbx, answers=True)
    bob = lab.keep(Baresip(*lab.place(), [PhoneAccount("bob", "pw-bob", pbx.address)]))
    await bob.wake()
    await bob.wait_registered()
    await bob.dial("sip:alice@pbx.test")
    await bob.wait_event("CALL_ESTABLISHED")
    await bob.hang_up()
    await alice.wait_event("CALL_CLOSED")


async def test_nghttpd_tells_the_headers_of_every_push(lab: Lab) -> None:
    ip, port = lab.place()
    certificate = lab.certificate(ip)
    server = await lab.start(Nghttpd(ip, port, certificate.chain, certificate.key))
    client = Program("nghttp")
    body = client.folder / "body.json"
    body.write_text('{"aps":{}}')
    try:
        command = [find_program("nghttp"), "-d", str(body), "-H", "apns-topic: org.example: voip"]
        await client.start([*command, f"https://{ip}:{port}/3/device/aabb"])
        assert await client.ended() == 0, client.output()
    finally:
        await client.end()
        client.remove_folder()
    [request] = await server.wait_requests()
    assert request.headers[":method"] == "POST"
    assert request.headers[":path"] == "/3/device/aabb"
    assert request.headers["apns-topic"] == "org.example: voip"
    assert request.body_length == len('{"aps":{}}')
