"""Our pushes against a strict APNs on Node's HTTP/2, in every way in which a connection can fail.

The table in docs/apns.md says what is promised; each row is measured here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509 import load_pem_x509_certificates

from tests.interop.peers.apns_double import ApnsDouble, Report
from tests.interop.peers.lab import Lab
from tests.system.pushing import LoopClock, message, soon
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
from wakerobin.core.values import Secret
from wakerobin.ports.options import ApnsOptions
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import PoolOptions, Surroundings
from wakerobin.push.jwt import TeamToken, read_signing_key
from wakerobin.testing.memory import MemoryStore
from wakerobin.testing.pns_certificates import make_signing_key

IN_FLIGHT = 50
REFUSED_STREAM, INTERNAL_ERROR = 7, 2
DOCUMENT = Path(__file__).parents[2] / "docs" / "apns.md"


@contextlib.asynccontextmanager
async def pushing(options: ApnsOptions, pool: PoolOptions | None = None) -> AsyncIterator[ApnsService]:
    clock = LoopClock()
    token = None
    if not options.cert_file:
        token = TeamToken(read_signing_key(options, "apps.phone.apns"), MemoryStore(), clock, clock)
    service = ApnsService(
        options,
        token,
        Surroundings(clock, clock, os.urandom),
        DestinationPolicy(),
        pool=pool or PoolOptions(bulk_rate=1e6, trial_connections=1),
    )
    try:
        await service.warm()
        yield service
    finally:
        await service.close()


@pytest.fixture
async def double(lab: Lab) -> ApnsDouble:
    ip, port = lab.place()
    return await lab.start(ApnsDouble(ip, port, lab.certificate(ip)))


@dataclass(slots=True)
class Measured:
    """What came of many pushes."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By `apns-id`."""
    hung: int = 0

    def kinds(self) -> Counter[str]:
        return Counter(type(outcome).__name__ for outcome in self.outcomes.values())

    @property
    def unknown(self) -> set[str]:
        """Those of which nobody can know whether they were accepted, and we say so."""
        return {id_ for id_, o in self.outcomes.items() if isinstance(o, Unavailable) and o.processed is None}

    def lost(self, report: Report) -> set[str]:
        """Those that we call accepted and that were not."""
        return {
            id_
            for id_, outcome in self.outcomes.items()
            if isinstance(outcome, Accepted) and id_ not in report.accepted
        }

    def denied(self, report: Report) -> set[str]:
        """Those that we call certainly not processed and that were accepted: they would be sent again."""
        return {
            id_
            for id_, outcome in self.outcomes.items()
            if isinstance(outcome, Unavailable) and outcome.processed is False and id_ in report.accepted
        }


async def push_many(service: ApnsService, count: int, type_: PushType, seconds: float = 10.0) -> Measured:
    """Push so many, fifty in flight, and wait for the outcome of each."""
    measured = Measured()
    ids = iter([str(uuid.UUID(int=number + 1)) for number in range(count)])

    async def run() -> None:
        for id_ in ids:
            one = message(type_, f"{uuid.UUID(id_).int:064x}", id=id_)
            try:
                async with asyncio.timeout(seconds + 2):
                    measured.outcomes[id_] = await service.send(one, soon(seconds))
            except TimeoutError:
                measured.hung += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(run())
    return measured


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to fail; `ends` are the outcomes that pushes may have in it."""

    name: str
    script: dict[str, Any]
    count: int = 2000
    push: PushType = PushType.CALL
    ends: frozenset[type] = frozenset({Accepted})
    hit: int = 0
    """How many pushes each cut may hit, so that nobody knows what became of them."""

    def __hash__(self) -> int:
        return hash(self.name)


ACCEPTED_OR_UNKNOWN: frozenset[type] = frozenset({Accepted, Unavailable})
CUT = {"killEvery": 200, "delay": 2}

SCENARIOS = [
    Scenario("GOAWAY every 100 pushes", {"goAwayEvery": 100}),
    Scenario("GOAWAY below what was sent, every 100", {"goAwayLowEvery": 100, "takeLate": True, "delay": 1}),
    Scenario("connection cut every 200, calls", CUT, ends=ACCEPTED_OR_UNKNOWN, hit=IN_FLIGHT),
    Scenario(
        "connection cut every 200, notices",
        CUT,
        push=PushType.EXPIRED,
        ends=ACCEPTED_OR_UNKNOWN,
        hit=IN_FLIGHT,
    ),
    Scenario("REFUSED_STREAM, every 20th", {"resetEvery": 20, "resetCode": REFUSED_STREAM}),
    Scenario(
        "stream reset, every 20th",
        {"resetEvery": 20, "resetCode": INTERNAL_ERROR},
        ends=ACCEPTED_OR_UNKNOWN,
        hit=1,
    ),
    Scenario(
        "410 for all",
        {"refuseWith": [410, "Unregistered", {"timestamp": 1_700_000_000_000}]},
        ends=frozenset({TargetGone}),
    ),
    Scenario(
        "503 without a body",
        {"refuseWith": [503, ""], "emptyBodies": True},
        ends=frozenset({Unavailable}),
    ),
    Scenario(
        "400 octet by octet",
        {"refuseWith": [400, "BadPriority"], "splitBodies": True},
        count=500,
        ends=frozenset({Rejected}),
    ),
    Scenario("silence, every 400th", {"silentEvery": 400}),
]


def promised() -> dict[str, list[str]]:
    """Return the rows of the table in the document: lost, hung, twice."""
    rows = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[1].isdecimal():
            rows[cells[0]] = cells[1:]
    return rows


def test_the_document_has_a_row_for_each_scenario_and_no_other() -> None:
    assert list(promised()) == [scenario.name for scenario in SCENARIOS]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_no_push_is_lost_none_hangs_and_none_is_accepted_twice_beyond_what_cannot_be_known(
    double: ApnsDouble, scenario: Scenario
) -> None:
    pushes, lost, hung, twice, _why = promised()[scenario.name]
    assert int(pushes) == scenario.count
    await double.behave(**scenario.script)
    async with pushing(double.options()) as service:
        measured = await push_many(service, scenario.count, scenario.push)
    report = await double.report()
    assert measured.hung == int(hung) == 0
    assert len(measured.outcomes) == scenario.count
    assert len(measured.lost(report)) == int(lost) == 0
    assert measured.denied(report) == set()
    kinds = {type(outcome) for outcome in measured.outcomes.values()}
    assert kinds <= scenario.ends, measured.kinds()
    # A cut is noticed a moment later, so that one may hit pushes over two connections.
    uncertain = (report.cuts + 1) * scenario.hit
    if scenario.push is PushType.CALL:
        # Each was sent again; unknown are those that were cut twice.
        assert len(measured.unknown) <= uncertain / 5
        assert len(report.twice) <= (uncertain if twice == "what was in flight, at most" else int(twice))
    else:
        assert 0 < len(measured.unknown) <= uncertain
        assert len(report.twice) == int(twice) == 0
    assert report.connections < 60  # no storm: one for each that ended, and those of the start


async def test_until_it_has_seen_a_valid_token_it_gets_one_stream_then_many(double: ApnsDouble) -> None:
    await double.behave(delay=5)
    async with pushing(double.options()) as service:
        measured = await push_many(service, 400, PushType.EXPIRED)
    report = await double.report()
    assert measured.kinds() == {"Accepted": 400}
    assert report.received == 400  # nothing was refused for being a second stream
    assert report.most_streams > 20


async def test_a_low_limit_of_streams_is_kept(double: ApnsDouble) -> None:
    await double.behave(mostStreams=3, delay=1)
    async with pushing(double.options()) as service:
        measured = await push_many(service, 300, PushType.EXPIRED)
    report = await double.report()
    assert measured.kinds() == {"Accepted": 300}
    assert report.most_streams <= 3


async def test_every_type_of_push_passes_its_rules(double: ApnsDouble) -> None:
    await double.behave()
    types = [type_ for type_ in PushType if type_ is not PushType.CALL_OVER]
    async with pushing(double.options()) as service:
        for type_ in types:
            assert isinstance(await service.send(message(type_, is_mutable=True), soon()), Accepted), type_
    assert (await double.report()).refused == {}


async def test_a_team_has_one_token_whatever_happens_to_connections(double: ApnsDouble) -> None:
    """TooManyProviderTokenUpdates would be the answer to a second one on a connection."""
    await double.behave(goAwayEvery=10)
    async with pushing(double.options()) as service:
        measured = await push_many(service, 200, PushType.CALL)
    assert measured.kinds() == {"Accepted": 200}
    assert (await double.report()).refused == {}


async def test_an_idle_connection_that_it_closes_costs_the_next_call_nothing(double: ApnsDouble) -> None:
    await double.behave(idleTimeout=100)
    async with pushing(double.options()) as service:
        assert isinstance(await service.send(message(), soon()), Accepted)
        connections = (await double.report()).connections
        async with asyncio.timeout(5):
            while (await double.report()).connections <= connections + 1:
                pass  # both call connections were closed by it and replaced by us
        began = asyncio.get_running_loop().time()
        assert isinstance(await service.send(message(), soon()), Accepted)
        assert asyncio.get_running_loop().time() - began < 1.0


async def test_a_token_signed_by_another_key_is_our_fault(double: ApnsDouble, tmp_path: Path) -> None:
    make_signing_key(tmp_path / "other.p8")
    await double.behave()
    async with pushing(double.options(key_file=str(tmp_path / "other.p8"))) as service:
        outcome = await service.send(message(), soon())
    assert outcome == Rejected("InvalidProviderToken", ours=True)


async def test_too_many_requests_wait_and_the_rest_goes_on(double: ApnsDouble) -> None:
    await double.behave(refuseWith=[429, "TooManyRequests"])
    async with pushing(double.options()) as service:
        assert isinstance(await service.send(message(PushType.EXPIRED), soon()), Throttled)
        await double.behave()
        assert isinstance(await service.send(message(PushType.EXPIRED), soon()), Accepted)


async def test_a_certificate_proves_us_without_a_token_and_gets_many_streams_at_once(
    lab: Lab, tmp_path: Path
) -> None:
    ip, port = lab.place()
    server, ours = lab.certificate(ip), lab.certificate("push.example")
    double = await lab.start(ApnsDouble(ip, port, server, client_ca=ours.authority))
    await double.behave(delay=5)
    key = load_pem_private_key(ours.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    chain = load_pem_x509_certificates(ours.chain.read_bytes())
    lock = BestAvailableEncryption(b"geheim")
    file = tmp_path / "push.p12"
    file.write_bytes(serialize_key_and_certificates(b"push", key, chain[0], chain[1:], lock))
    proof = {"cert_file": str(file), "cert_password": Secret("geheim"), "key_file": "", "key_id": ""}
    async with pushing(double.options(**proof)) as service:
        measured = await push_many(service, 400, PushType.EXPIRED)
    report = await double.report()
    assert measured.kinds() == {"Accepted": 400}
    assert report.refused == {}
    assert report.most_streams > 20


async def test_without_the_certificate_it_asks_for_nobody_gets_in(lab: Lab) -> None:
    ip, port = lab.place()
    server = lab.certificate(ip)
    double = await lab.start(ApnsDouble(ip, port, server, client_ca=server.authority))
    async with pushing(double.options()) as service:
        outcome = await service.send(message(PushType.EXPIRED), soon())
    assert isinstance(outcome, Unavailable)
    assert (await double.report()).received == 0
