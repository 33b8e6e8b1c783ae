"""A world whose operator serves phones that never enrolled: they speak RFC 8599 to us as outbound proxy."""

from __future__ import annotations

import re
from typing import Any

from tests.system.asking import request
from tests.system.calls_world import APP, DOMAIN, World
from wakerobin.core.guests import Guest, Offer
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Provider
from wakerobin.services import story
from wakerobin.services.guests import Sponsor
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.wire import WireEndpoint

INSTANCE = "urn:uuid:0a1b2c3d-0000-4000-8000-00000000000a"
PROJECT = "phone-12345"
FCM = Offer(app=APP, provider=Provider.FCM, project=PROJECT)
APNS = Offer(app=APP, provider=Provider.APNS, team="DEF123GHIJ", topic="com.example.phone")
ALL = (FCM, APNS)

RESOURCE = f";pn-provider=fcm;pn-param={PROJECT};pn-prid=dpZ0:APA91bF-x_Y"
VOIP = ";pn-provider=apns;pn-param=DEF123GHIJ.com.example.phone.voip;pn-prid=aa11"


_REFERENCE = re.compile(r';\+sip\.pnspurr="([A-Za-z0-9_-]+)"')


def sponsored(*users: str, offers: tuple[Offer, ...] = ALL, **options: Any) -> World:
    """Make a world in which an app serves the phones of the PBX."""
    return World(*users, sponsors=[Sponsor(APP, (DOMAIN,), offers)], **options)


def guest_phone(world: World, params: str = RESOURCE, **options: Any) -> FakePhone:
    """Make a phone with push parameters; it has not registered."""
    phone = world.phone(**{"instance": INSTANCE, **options})
    phone.contact_params = params
    phone.expires = 600
    return phone


async def arrived(world: World, params: str = RESOURCE, **options: Any) -> FakePhone:
    """Make such a phone and let it register at its PBX, through us."""
    phone = guest_phone(world, params, **options)
    response = await world.do(phone.register())
    assert response.status == 200, response
    return phone


def stored(world: World, user: str = "alice") -> list[Guest]:
    """Return the guests of a user."""
    return world.store.read(lambda tx: tx.guests.of_aor(f"sip:{user}@{DOMAIN}"))


def capabilities(response: Message) -> list[str]:
    """Return the Feature-Caps of a response, in order, without what a phone is to show in its dialogs."""
    return [_REFERENCE.sub("", value) for value in response.all("feature-caps")]


def reference(response: Message) -> str:
    """Return what a phone is to show in its dialogs; empty: it is offered nothing."""
    found = _REFERENCE.search(" ".join(response.all("feature-caps")))
    return found[1] if found is not None else ""


def told(world: World, guest: Guest) -> list[str]:
    """Return what is told of a guest, in order."""
    return [row.event for row in world.store.read(lambda tx: tx.stories.of(story.of_guest(guest.number)))]


def asleep(world: World, phone: FakePhone) -> None:
    """Let its app be suspended: nothing reaches it, and nobody is told so."""
    world.move(phone, "203.0.113.250")


def killed(world: World, phone: FakePhone) -> None:
    """Let its app be killed: its connection is closed, which we are told."""
    assert isinstance(phone.endpoint, WireEndpoint)
    phone.endpoint.cut_all()
    world.move(phone, "203.0.113.250")


def to_guest(world: World, method: str, *headers: tuple[str, str]) -> Message:
    """Return a request of the PBX to its only contact, by our Path."""
    (contact,) = world.pbx.contacts("alice")
    asked = request(method, contact.uri, *headers, to=f"sip:alice@{DOMAIN}")
    for route in contact.path:
        asked.add("Route", route)
    return asked
