"""Everything that a server does, with its log at its most talkative: no secret that was used is in it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system import writing
from tests.system.served import CALL_TOKEN, INSTALLATION, KEY, NOTICE_TOKEN, PATH, World
from tests.system.survival.around import surroundings
from wakerobin import log
from wakerobin.core.sip import digest
from wakerobin.core.sip.digest import Algorithm, Challenge
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Duration
from wakerobin.ports.options import LifetimeOptions
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.ports.store import Transaction
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.pns_script import GoAway, Kill, Refuse, Silence

LIFE = LifetimeOptions(
    lifetime=Duration(4000),
    renewal_from=Duration(2000),
    renewal_every=Duration(400),
    warnings=(Duration(1000), Duration(500)),
)
OTHER_INSTALLATION = "VGhpc0lzQW5vdGhlck9uZQ"
NEW_PASSWORD, WRONG_PASSWORD = "anna-has-a-new-password", "this-is-not-annas-password"
NEW_TOKEN = "d4" * 32
NONCE = "this-is-no-nonce-of-ours"
SUBSCRIPTION = {
    "endpoint": "https://push.example/a-subscription-of-a-browser",
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
WRITTEN = tuple(f"a-word-of-love-{number}" for number in range(6))
SHORTEST = 6
"""Shorter texts are in every log by chance."""


class Secrets:
    """What must not be seen, by what it is."""

    def __init__(self) -> None:
        self._texts: dict[str, set[str]] = {}

    def add(self, what: str, *texts: str) -> None:
        for text in texts:
            assert len(text) >= SHORTEST, f"{what}: {text!r} proves nothing"
            self._texts.setdefault(what, set()).add(text)

    def add_octets(self, what: str, octets: bytes) -> None:
        plain, safe = base64.b64encode(octets).decode(), base64.urlsafe_b64encode(octets).decode()
        self.add(what, octets.hex(), plain.rstrip("="), safe.rstrip("="), repr(octets)[2:-1])

    def kinds(self) -> set[str]:
        return set(self._texts)

    def found_in(self, text: str) -> list[str]:
        """Return what was found, and the line it was found in."""
        lines = text.splitlines()
        return [
            f"{what}: {line}"
            for what, secrets in self._texts.items()
            for secret in secrets
            for line in lines
            if secret in line
        ]


class TalkingPhone(FakePhone):
    """A phone that tells us its answers to challenges."""

    secrets: Secrets

    def _answer(self, challenge: Challenge, request: Message, nc: int) -> str:
        value = super()._answer(challenge, request, nc)
        _add_answer(self.secrets, "a phone's answer", value)
        return value


def _add_answer(secrets: Secrets, what: str, header: str) -> None:
    answered = digest.parse_authorization(header)
    if answered is not None:
        secrets.add(what, answered.response, header)
        secrets.add("a nonce", answered.nonce)


@pytest.fixture(params=["json", "text"])
def told(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    caught = io.StringIO()
    log.configure("debug", request.param, caught)
    yield caught
    log.configure("info")


def watch_pbx(world: World, secrets: Secrets) -> None:
    """Learn what the server answers to the PBX's challenges, and the user of its Contact."""
    received = world.pbx.transactions.on_request

    def on_request(transaction: ServerTransactionHandle) -> None:
        request = transaction.request
        for name in ("authorization", "proxy-authorization"):
            for value in request.all(name):
                _add_answer(secrets, "an answer to the PBX", value)
        if request.method == "REGISTER":
            for contact in request.contacts:
                secrets.add("the user of a Contact", contact.uri.removeprefix("sip:").partition("@")[0])
        received(transaction)

    world.pbx.transactions.on_request = on_request


def words_of(file: Path) -> list[str]:
    return [word for word in file.read_text().split() if len(word) > 2 * SHORTEST]


def learn(world: World, secrets: Secrets) -> None:
    """Learn what this run has stored and shown to the push service."""
    assert world.server.rooms is not None
    world.server.rooms.ground.store.read(lambda tx: learn_store(tx, secrets))
    for push in world.pns.pushes:
        secrets.add("a provider token", push.headers["authorization"].partition(" ")[2])


def learn_store(tx: Transaction, secrets: Secrets) -> None:
    for account in tx.accounts.page(0, 100):
        credentials = tx.accounts.credentials(account.id)
        for key in credentials.keys if credentials is not None else ():
            secrets.add("a HA1", key.ha1.reveal())
    kept = tx.kept.get("server-secret")
    assert kept is not None
    secrets.add_octets("the server's secret", kept)


class Scenes:
    """What happens to one server, one after the other."""

    def __init__(self, world: World, secrets: Secrets) -> None:
        self.world = world
        self.secrets = secrets
        self.held: dict[str, Any] = {}

    async def enrol(self) -> None:
        """Enrol well, badly, again, and with nonsense."""
        world = self.world
        wrong = await world.api.enrol(world.fields("ben", WRONG_PASSWORD))
        assert wrong.problem == "credentials-refused"
        first = await world.api.enrol(world.fields())
        assert first.status == 201
        again = await world.api.enrol(world.fields())
        assert again.status == 200
        other = await world.api.enrol(
            world.fields(password=WRONG_PASSWORD, installation_id=OTHER_INSTALLATION)
        )
        assert other.status == 422
        self.held = again.json
        self.secrets.add("a registration's secret", first.json["secret"], again.json["secret"])
        fields = world.fields()
        for broken in (
            {**fields, "credentials": {"password": WRONG_PASSWORD, "ha1": []}},
            {**fields, "targets": [{"provider": "apns", "purposes": ["call"], "token": f"{CALL_TOKEN}!"}]},
            {**fields, "targets": [{"provider": "webpush", "purposes": ["call"], **SUBSCRIPTION}]},
            {**fields, WRONG_PASSWORD: NEW_TOKEN},
            str(fields).encode(),
        ):
            answer = await world.api.send("POST", PATH, broken, KEY)
            assert answer.status in (400, 422), answer
        assert (await world.api.send("POST", PATH, fields, f"{KEY}-is-wrong")).status == 401

    async def change(self) -> None:
        """Renew, change the password at the PBX and here, and fail to."""
        one, secret = f"{PATH}/{self.held['id']}", self.held["secret"]
        api = self.world.api
        assert (await api.send("POST", f"{one}/renew", {"cause": "opened"}, secret)).status == 200
        wrong = {"credentials": {"password": WRONG_PASSWORD}}
        assert (await api.send("PATCH", f"{one}?wait=5", wrong, secret)).status == 422
        self.world.pbx.set_password("anna", NEW_PASSWORD)
        right = {"credentials": {"password": NEW_PASSWORD}}
        assert (await api.send("PATCH", f"{one}?wait=5", right, secret)).status == 200
        targets = [{"provider": "apns", "purposes": ["call", "notice"], "token": NEW_TOKEN}]
        assert (await api.send("PATCH", one, {"targets": targets}, secret)).status == 200
        assert (await api.send("GET", one, None, f"{secret}-is-wrong")).status == 401
        assert (await api.send("POST", f"{one}/verify", {"nonce": NONCE}, secret)).status == 422
        assert (await api.send("POST", f"{one}/test", {}, secret)).status == 202
        # Another installation claims the token, and is asked for its proof.
        ben = await api.enrol(
            self.world.fields("ben", "ben-password", targets=targets, installation_id=OTHER_INSTALLATION)
        )
        assert ben.status == 201
        verify = await self.world.pns.wait_for(lambda p: p.type == "verify", 10)
        nonce = verify.payload["wakerobin"]["nonce"]
        self.secrets.add("a registration's secret", ben.json["secret"])
        self.secrets.add("a nonce of a token", nonce, NONCE)
        theirs = f"{PATH}/{ben.json['id']}"
        assert (await api.send("DELETE", theirs, None, ben.json["secret"])).status == 202

    async def call(self) -> None:
        """Be woken, answer, hang up; cancel; refuse; with a push service in trouble."""
        world = self.world
        phone = TalkingPhone("sip:anna@pbx.test", NEW_PASSWORD)
        phone.secrets = self.secrets
        await phone.start(world.sip, world.pbx.host)
        for trouble in (None, GoAway(), Kill(), Refuse(status=400, reason="BadDeviceToken")):
            if trouble is not None:
                world.pns.next(trouble)
            call = world.pbx.call("anna")
            with contextlib.suppress(TimeoutError):
                await world.pns.wait_for(
                    lambda p, call=call: p.payload["wakerobin"].get("sip_call_id") == call.call_id,  # type: ignore[misc]
                    2.0,
                )
            seen = len(phone.calls)
            assert (await phone.register()).status == 200
            if not call.final:
                await phone.wait_call(seen + 1)
                phone.calls[-1].answer()
                await call.wait(lambda c: c.final == 200)
                call.hang_up()
                await call.wait(lambda c: bool(c.replies))
            await phone.unregister()
        world.pns.next(Silence())
        cancelled = world.pbx.call("anna")
        await cancelled.wait(lambda c: bool(c.responses))
        cancelled.cancel()
        await cancelled.wait(lambda c: c.final == 487)
        guesser = TalkingPhone("sip:anna@pbx.test", WRONG_PASSWORD)
        guesser.secrets = self.secrets
        await guesser.start(world.sip, world.pbx.host)
        assert (await guesser.register()).status == 403
        await guesser.sleep()
        await phone.sleep()

    async def write(self) -> None:
        """Be written to, awake and asleep, and write, to somebody and to nobody."""
        world = self.world
        one, secret = f"{PATH}/{self.held['id']}", self.held["secret"]
        phone = TalkingPhone("sip:anna@pbx.test", NEW_PASSWORD)
        phone.secrets = self.secrets
        assert (await writing.write(world.pbx, "anna", WRITTEN[0])).status == 202
        await phone.start(world.sip, world.pbx.host)
        assert (await phone.register()).status == 200
        assert (await writing.write(world.pbx, "anna", WRITTEN[1])).status == 202
        assert (await writing.write(world.pbx, "anna", WRITTEN[2], ("Require", WRITTEN[2]))).status == 420
        await phone.sleep()
        for words in ({"to": "ben", "body": WRITTEN[3]}, {"to": "mailto:x", "body": WRITTEN[4]}):
            assert (await world.api.send("POST", f"{one}/messages", words, secret)).status == 202
        assert (await world.api.send("GET", f"{one}/messages", None, secret)).status == 200
        broken = await world.api.send("POST", f"{one}/messages", {"body": WRITTEN[5]}, secret)
        assert broken.status == 422
        assert WRITTEN[5] not in broken.text

    async def nonsense(self) -> None:
        """Send half-right requests that carry secrets to the sockets."""
        (contact,) = self.world.pbx.contacts("anna")
        lines = (
            f"INVITE {contact.uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bK1\r\n"
            f"From: <sip:a@b>;tag=1\r\nTo: {contact.uri}\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n"
            f'Authorization: Digest username="anna", response="{NEW_TOKEN}"\r\nContent-Length: 99\r\n\r\n'
        ).encode()
        listeners = self.world.server.rooms.endpoint.listeners if self.world.server.rooms else ()
        host, port = next((one.address, one.port) for one in listeners if one.transport.is_reliable)
        for octets in (lines, lines.replace(b"CSeq: 1 BYE", b"CSeq: 1 INVITE"), b"\r\n" + lines[:90] * 40):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(octets)
            writer.write_eof()
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await reader.read()
            writer.close()

    async def die(self) -> None:
        """Be warned, end, and be told; or be deleted. The PBX forgets us."""
        world = self.world
        one, secret = f"{PATH}/{self.held['id']}", self.held["secret"]
        assert (await world.api.send("PATCH", one, {"lifetime_s": 4}, secret)).status == 200
        await world.pns.wait_for(lambda p: p.type == "expired", 20)
        ben = await world.api.enrol(world.fields("ben", "ben-password", installation_id=OTHER_INSTALLATION))
        assert ben.status == 201
        self.secrets.add("a registration's secret", ben.json["secret"])
        deleted = await world.api.send("DELETE", f"{PATH}/{ben.json['id']}", None, ben.json["secret"])
        assert deleted.status == 202
        async with asyncio.timeout(10):
            while world.pbx.contacts("anna") or world.pbx.contacts("ben"):
                await world.pbx.wait_register(len(world.pbx.registrar.seen) + 1)


SIP = {"unproven_rate": 100.0, "unproven_refusals": 100}


async def test_no_log_tells_a_secret(tmp_path: Path, told: io.StringIO) -> None:
    host = "127.84.0.1"
    secrets = Secrets()
    secrets.add("a password", "anna-password", "ben-password", NEW_PASSWORD, WRONG_PASSWORD)
    secrets.add("the enrolment key", KEY)
    secrets.add("a push token", CALL_TOKEN, NOTICE_TOKEN, NEW_TOKEN)
    secrets.add("a subscription", *SUBSCRIPTION.values())
    secrets.add("what was written", *WRITTEN)
    secrets.add("an installation id", INSTALLATION, OTHER_INSTALLATION)
    for password in ("anna-password", NEW_PASSWORD, WRONG_PASSWORD):
        secrets.add("a HA1", *(digest.ha1(one, "anna", "pbx.test", password) for one in Algorithm))
    async with surroundings(tmp_path, host) as around:
        async with around.server(sip=SIP) as world:
            watch_pbx(world, secrets)
            scenes = Scenes(world, secrets)
            await scenes.enrol()
            await scenes.change()
            await scenes.call()
            await scenes.write()
            await scenes.nonsense()
            learn(world, secrets)
        # The next run takes up what this one has left, under a policy that ends it soon.
        async with around.server(sip=SIP, lifetime=LIFE) as world:
            scenes.world = world
            await scenes.die()
            learn(world, secrets)
        secrets.add("the vault's key", *words_of(around.key_file))
        secrets.add("the push service's key", *words_of(around.pns.key_file))
    said = told.getvalue()
    for event in ("ready", "binding_made", "push_connection_left", "binding_removed"):
        assert event in said
    assert secrets.found_in(f"{said} {NEW_TOKEN}"), "what is in a log is found"
    assert "Traceback" not in said
    assert not secrets.found_in(said)
    assert secrets.kinds() >= {
        "a password",
        "a HA1",
        "a registration's secret",
        "a phone's answer",
        "an answer to the PBX",
        "the user of a Contact",
        "a provider token",
        "the vault's key",
        "the server's secret",
    }
