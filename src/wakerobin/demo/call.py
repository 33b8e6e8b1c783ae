"""Scene one: a sleeping phone is called, over real sockets, from its enrolment to the BYE."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Final

from wakerobin.core.ids import token
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Secret
from wakerobin.demo.app import Answer, App
from wakerobin.demo.cast import APP, DOMAIN, HOST, USER, Cast, on_stage
from wakerobin.demo.ladder import Ladder, Who
from wakerobin.demo.page import Page
from wakerobin.demo.tap import Way
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone_call import PhoneCall
from wakerobin.testing.pns import ReceivedPush

PATIENCE_S: Final = 4.0
BOOT_S: Final = 0.6
"""How long the app needs to come up; a real one needs 2 to 10 seconds."""
_RINGS_S: Final = 0.3
_TALK_S: Final = 0.3

_COLOURS: Final = {1: "yellow", 2: "green"}


class WokenCall:
    """The scene, and what its promises are judged by."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._loop = asyncio.get_running_loop()
        self._ladder = Ladder(page, self._loop.time())
        self._said_to_pbx: list[tuple[float, Message]] = []
        self._said_by_phone: list[tuple[float, Message]] = []

    async def play(self) -> None:
        """Play it."""
        with tempfile.TemporaryDirectory(prefix="wakerobin-demo-") as folder:
            async with on_stage(Path(folder), self._at_pbx, self._at_phone) as cast:
                self._ladder = Ladder(self._page, self._loop.time())
                self._ladder.head()
                enrolled = await self._enrol(cast)
                if not self._promise_enrolment(cast, enrolled):
                    return
                self._page.line()
                await self._call(cast, enrolled)

    async def _enrol(self, cast: Cast) -> Answer:
        assert cast.server.api_address is not None
        app = App(cast.server.api_address)
        self._ladder.arrow(self._now, Who.PHONE, Who.WAKEROBIN, "POST /v1/push-registrations", "cyan")
        answer = await app.enrol(
            cast.enrolment_key,
            {
                "app": APP,
                "aor": f"sip:{USER}@{DOMAIN}",
                "credentials": {"password": cast.password.reveal()},
                "registrar": f"{HOST}:{cast.pbx.port}",
                "targets": [
                    {"provider": "apns", "purposes": ["call"], "token": cast.device_token},
                    {"provider": "apns", "purposes": ["notice"], "token": os.urandom(32).hex()},
                ],
                "installation_id": token(os.urandom),
                "platform": "ios",
            },
        )
        state = answer.fields.get("binding", {}).get("state", "")
        self._ladder.arrow(
            self._now, Who.WAKEROBIN, Who.PHONE, f"{answer.status} {state}", _colour(answer.status)
        )
        self._ladder.note(self._now, "the app goes to sleep and closes every connection")
        return answer

    def _promise_enrolment(self, cast: Cast, enrolled: Answer) -> bool:
        self._page.line()
        contacts = cast.pbx.contacts(USER)
        assert cast.server.rooms is not None
        kept = cast.server.rooms.ground.store.read(lambda tx: tx.accounts.credentials(1))
        is_enrolled = self._page.promise(
            "The PBX accepted the password, and Wakerobin holds the account's only binding.",
            is_kept=enrolled.status == 201 and len(contacts) == 1,
            why=f"{enrolled.status}, {len(contacts)} contacts, {enrolled.fields.get('detail', '')}",
        )
        self._page.promise(
            "The password is forgotten: two hashes for this PBX are kept, encrypted.",
            is_kept=kept is not None and kept.password is None and len(kept.keys) == 2,
        )
        return is_enrolled

    async def _call(self, cast: Cast, enrolled: Answer) -> None:
        self._ladder.head()
        called_at = self._now
        call = cast.pbx.call(USER, display="Bob")
        push = await cast.pns.wait_for(lambda one: one.type == "call", PATIENCE_S)
        self._ladder.arrow(self._now, Who.WAKEROBIN, Who.APNS, "VoIP push", "blue", "bold")
        self._ladder.arrow(self._now, Who.APNS, Who.PHONE, "push", "blue", "bold")
        await call.wait(lambda one: one.is_ringing, PATIENCE_S)
        self._ladder.note(self._now, "the caller hears ringing, the app is starting")
        await asyncio.sleep(BOOT_S)
        cast.wake_phone()
        registered = await cast.phone.register(within=PATIENCE_S)
        phone_call = await cast.phone.wait_call(within=PATIENCE_S)
        rang_at = self._now
        await asyncio.sleep(_RINGS_S)
        phone_call.answer()
        await call.wait(lambda one: one.answer is not None, PATIENCE_S)
        await phone_call.until(lambda one: one.is_acknowledged, PATIENCE_S)
        self._ladder.note(self._now, "they talk; media goes its own way")
        await asyncio.sleep(_TALK_S)
        call.hang_up()
        await phone_call.until(lambda one: one.is_over, PATIENCE_S)
        await call.wait(lambda one: bool(one.replies), PATIENCE_S)

        self._page.line()
        self._promise_push(cast, push, called_at)
        self._promise_call(call, phone_call, registered, rang_at - called_at)
        await self._promise_story(cast, enrolled, push)

    def _promise_push(self, cast: Cast, push: ReceivedPush, called_at: float) -> None:
        calls = [one for one in cast.pns.pushes if one.type == "call"]
        headers = push.headers
        is_right = (headers["apns-priority"], headers["apns-topic"][-5:]) == ("10", ".voip")
        self._page.promise(
            f"One VoIP push left for the phone, {(push.at - called_at) * 1000:.0f} ms after the INVITE.",
            is_kept=len(calls) == 1 and push.is_accepted and push.token == cast.device_token and is_right,
            why=f"{len(calls)} pushes, {push.status} {push.reason}",
        )
        woken_at = min(at for at, message in self._said_by_phone if message.method == "REGISTER")
        ringing = [at for at, message in self._said_to_pbx if message.status == 180]
        self._page.promise(
            "The caller heard ringing while the phone was still asleep.",
            is_kept=bool(ringing) and ringing[0] < woken_at,
        )

    def _promise_call(
        self, call: FakeCall, phone_call: PhoneCall, registered: Message, rang_after: float
    ) -> None:
        self._page.promise(
            f"The woken phone registered with its normal password and rang after {rang_after:.1f} s.",
            is_kept=registered.status == 200 and phone_call.invite is not None,
            why=f"REGISTER was answered {registered.status}",
        )
        finals = [response.status for response in call.responses if response.status >= 200]
        self._page.promise(
            "The PBX got exactly one final response, the phone's 200, and its ACK reached the phone.",
            is_kept=finals == [200] and phone_call.is_acknowledged,
            why=f"final responses {finals}",
        )
        ended = [reply.status for reply in call.replies]
        self._page.promise(
            "The BYE found its way to the phone, and the phone's answer its way back.",
            is_kept=phone_call.requests[-1].method == "BYE" and ended == [200],
            why=str(call),
        )

    async def _promise_story(self, cast: Cast, enrolled: Answer, push: ReceivedPush) -> None:
        assert cast.server.api_address is not None
        app = App(cast.server.api_address)
        call_id = push.payload["wakerobin"]["call_id"]
        secret = Secret(enrolled.fields["secret"])
        told = await app.timeline(enrolled.fields["id"], secret, call_id)
        events = told.fields.get("events", [])
        names = [one["event"] for one in events]
        expected = ("invite", "push-accepted", "phone-connected", "offered", "answered")
        self._page.promise(
            "The timeline of the call tells it in words:",
            is_kept=[name for name in names if name in expected] == list(expected),
            why=f"{told.status} {names}",
        )
        for one in events:
            self._page.line(self._page.painted(f"      {one['text']}", "dim"))

    @property
    def _now(self) -> float:
        return self._loop.time()

    def _at_pbx(self, message: Message, way: Way) -> None:
        if way is Way.COMES:
            self._said_to_pbx.append((self._now, message))
        self._draw(message, way, Who.PBX)

    def _at_phone(self, message: Message, way: Way) -> None:
        if way is Way.LEAVES:
            self._said_by_phone.append((self._now, message))
        self._draw(message, way, Who.PHONE)

    def _draw(self, message: Message, way: Way, peer: Who) -> None:
        ends = (peer, Who.WAKEROBIN) if way is Way.LEAVES else (Who.WAKEROBIN, peer)
        self._ladder.arrow(self._now, *ends, _label(message), _colour(message.status))


async def call_a_sleeping_phone(page: Page) -> None:
    """Play the scene and check each of its steps."""
    page.heading(
        "Scene 1: a sleeping phone is called",
        "The real server over sockets of this machine, with a PBX, a push service, a phone. Seconds.",
    )
    await WokenCall(page).play()


def _label(message: Message) -> str:
    return message.method or f"{message.status} {message.reason}"


def _colour(status: int) -> str:
    return _COLOURS.get(status // 100, "bold") if status else "cyan"
