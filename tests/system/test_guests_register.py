"""REGISTERs of phones that never enrolled: through us to their PBX, with Path, and what they are told."""

from __future__ import annotations

import pytest

from tests.system.asking import request, stranger
from tests.system.calls_world import APP, DOMAIN, PBX, SECOND, US, World
from tests.system.guests_world import (
    ALL,
    APNS,
    FCM,
    INSTANCE,
    RESOURCE,
    VOIP,
    arrived,
    capabilities,
    guest_phone,
    sponsored,
    stored,
    told,
)
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Flow, Provider, Purpose, Transport
from wakerobin.services.guests import Sponsor
from wakerobin.testing.memory import Fault


def at_pbx(world: World) -> Message:
    """Return the last REGISTER that was sent to the PBX."""
    return [one for one in world.sent_to(PBX[0]) if one.method == "REGISTER"][-1]


async def test_a_phone_registers_at_its_pbx_through_us_and_is_told_that_we_push() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        assert capabilities(phone.registers[-1]) == ['*;+sip.pns="fcm"']  # RFC 8599 8.2
        (contact,) = world.pbx.contacts("alice")
        assert contact.uri == phone.contact
        (path,) = contact.path  # RFC 3327
        uri = SipUri.parse(NameAddr.parse(path).uri)
        assert (uri.host, uri.port) == US
        assert uri.has_param("lr")
        assert at_pbx(world).max_forwards == 69
        assert "path" in at_pbx(world).values("supported")
        assert at_pbx(world).values("feature-caps") == ['*;+sip.pns="fcm"']  # 5.6.1.1: nobody else need push
        (guest,) = stored(world)
        assert (guest.app, guest.instance, guest.registrar) == (APP, INSTANCE, f"sip:{DOMAIN}")
        assert [target.token.reveal() for target in guest.targets] == ["dpZ0:APA91bF-x_Y"]
        assert guest.expires_at - guest.registered_at == 600 * SECOND
        assert told(world, guest) == ["guest-registered"]


async def test_the_challenge_of_the_pbx_passes_through_and_we_ask_for_nothing() -> None:
    world = sponsored()
    async with world.running():
        phone = guest_phone(world)
        phone.password = "wrong"
        response = await world.do(phone.register())
        assert response.status in (401, 403)
        assert 'realm="pbx.test"' in world.sent_to("203.0.113.5")[0].all("www-authenticate")[0]
        assert not capabilities(response)
        assert stored(world) == []
        assert not world.phones.of_flow(Flow(Transport.UDP, US, ("203.0.113.5", 5060)))


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_refresh_keeps_the_guest_and_its_number(transport: Transport) -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=transport)
        (first,) = stored(world)
        world.move(phone, "203.0.113.77")
        assert (await world.do(phone.register())).status == 200
        (second,) = stored(world)
        assert second.number == first.number
        assert second.contact_uri == phone.contact != first.contact_uri
        assert told(world, first) == ["guest-registered"], "a refresh is no news"
        phone.contact_params = RESOURCE + "new"
        assert (await world.do(phone.register())).status == 200
        assert told(world, first) == ["guest-registered"] * 2


async def test_two_phones_of_one_user_are_two_guests() -> None:
    world = sponsored()
    async with world.running():
        await arrived(world)
        await arrived(world, RESOURCE + "2", address="203.0.113.6", instance="")
        await arrived(world, RESOURCE + "3", address="203.0.113.7", instance="")
        numbers = {one.number for one in stored(world)}
        assert len(numbers) == 3
        assert len({contact.path for contact in world.pbx.contacts("alice")}) == 3


async def test_a_web_page_that_is_loaded_anew_is_the_same_phone_by_its_resource() -> None:
    world = sponsored()
    async with world.running():
        await arrived(world)
        (first,) = stored(world)
        await arrived(world, address="203.0.113.6", instance="urn:uuid:another")
        (second,) = stored(world)
        assert (second.number, second.instance) == (first.number, "urn:uuid:another")
        await arrived(world, RESOURCE + "new", address="203.0.113.7", instance="urn:uuid:another")
        (third,) = stored(world)
        assert third.number == first.number, "its token has changed"


async def test_a_user_has_so_many_phones_and_no_more() -> None:
    world = sponsored()
    world.pbx.rules.most_contacts = 100
    async with world.running():
        for number in range(22):
            await arrived(world, f"{RESOURCE}{number}", address=f"203.0.113.{100 + number}", instance="")
            await world.run_for(SECOND)
        tokens = {one.targets[0].token.reveal() for one in stored(world)}
        assert len(tokens) == 20
        assert not {"dpZ0:APA91bF-x_Y0", "dpZ0:APA91bF-x_Y1"} & tokens


async def test_a_phone_without_instance_is_known_by_its_resource() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, instance="")
        (first,) = stored(world)
        world.move(phone, "203.0.113.77")
        await world.do(phone.register())
        assert [one.number for one in stored(world)] == [first.number]


async def test_a_phone_that_asks_hears_of_all_push_services() -> None:  # 4.1.5, 5.6.1.2
    world = sponsored()
    async with world.running():
        phone = await arrived(world, ";pn-provider")
        assert capabilities(phone.registers[-1]) == ['*;+sip.pns="fcm"', '*;+sip.pns="apns"']
        (guest,) = stored(world)
        assert guest.targets == ()
        assert not at_pbx(world).has("feature-caps")


async def test_a_push_service_that_is_not_ours_is_555_and_never_reaches_the_pbx() -> None:  # 8.1
    world = sponsored(offers=(APNS,))
    async with world.running():
        response = await world.do(guest_phone(world).register())
        assert (response.status, response.reason) == (555, "Push Notification Service Not Supported")
        assert world.pbx.registrar.seen == []


async def test_a_binding_too_short_to_refresh_is_423() -> None:  # 5.6.1.1
    world = sponsored()
    async with world.running():
        phone = guest_phone(world)
        response = await world.do(phone.register(expires=60))
        assert response.status == 423
        assert response.get("min-expires") == "300"
        assert world.pbx.registrar.seen == []
        assert (await world.do(phone.register(expires=300))).status == 200


async def test_a_423_of_the_pbx_passes_through() -> None:
    world = sponsored()
    world.pbx.rules.min_expires = 1000
    async with world.running():
        response = await world.do(guest_phone(world).register())
        assert (response.status, response.get("min-expires")) == (423, "1000")


async def test_a_phone_with_a_timer_of_its_own_is_told_when_to_refresh() -> None:  # 4.1.4, 8.4
    world = sponsored()
    async with world.running():
        phone = guest_phone(world)
        contact = f'<{phone.contact}>;+sip.instance="<{INSTANCE}>";+sip.pnsreg'
        response = await world.do(phone.register(contact=contact))
        assert capabilities(response) == ['*;+sip.pns="fcm";+sip.pnsreg="130"']
        assert stored(world)[0].has_own_timer


@pytest.mark.parametrize("params", [RESOURCE, "", ";pn-provider=fcm"])
async def test_a_phone_that_unregisters_is_forgotten(params: str) -> None:  # 4.1.2
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        (guest,) = stored(world)
        phone.contact_params = params
        response = await world.do(phone.unregister())
        assert response.status == 200
        await world.until(lambda: stored(world) == [])
        assert not world.phones.flows(guest.number)
        assert told(world, guest)[-1] == "guest-left"


async def test_contact_star_takes_back_every_phone_of_the_user() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        await arrived(world, RESOURCE + "2", address="203.0.113.6", instance="urn:uuid:2")
        assert (await world.do(phone.register(contact="*", expires=0))).status == 200
        await world.until(lambda: stored(world) == [])
        assert world.pbx.contacts("alice") == []


async def test_a_phone_that_wants_no_more_pushes_stays_registered_without() -> None:  # 4.1.2
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        phone.contact_params = ""
        response = await world.do(phone.register())
        assert response.status == 200
        assert not capabilities(response)
        (guest,) = stored(world)
        assert guest.targets == ()
        assert world.phones.flows(guest.number)


async def test_where_another_proxy_pushes_we_only_pass_it_on() -> None:  # 5.6.1.1
    world = sponsored()
    async with world.running():
        phone = guest_phone(world)
        asked = phone.request_to("REGISTER", f"sip:{DOMAIN}")
        asked.set("To", f"<{phone.aor}>")
        asked.add("Feature-Caps", '*;+sip.pns="fcm"')
        first = await world.do(phone.send(asked))
        assert first.status == 401
        assert phone.authorize(asked, first)
        asked.set("CSeq", "2 REGISTER")
        response = await world.do(phone.send(asked))
        assert response.status == 200
        assert not capabilities(response)
        assert stored(world)[0].targets == ()


# Whom nobody serves


async def test_without_a_sponsor_a_phone_is_challenged_by_us_as_ever() -> None:
    world = World()
    async with world.running():
        response = await world.do(guest_phone(world).register())
        assert response.status == 403  # it answered our challenge, and nobody has enrolled it
        assert world.pbx.registrar.seen == []


async def test_a_pbx_that_the_operator_does_not_list_is_not_asked() -> None:
    world = World(sponsors=[Sponsor(APP, ("other.test",), ALL)])
    async with world.running():
        assert (await world.do(guest_phone(world).register())).status == 403
        assert world.pbx.registrar.seen == []


async def test_a_foreign_pbx_in_route_request_uri_or_to_is_not_asked() -> None:
    world = sponsored()
    async with world.running():
        asker = stranger(world)
        contact = ("Contact", f"<sip:alice@203.0.113.99{RESOURCE}>")
        here, there = f"sip:alice@{DOMAIN}", "sip:alice@victim.test"
        for uri, to, route in (
            ("sip:victim.test", here, ""),
            (f"sip:{DOMAIN}", there, ""),
            (f"sip:{DOMAIN}", here, "<sip:victim.test;lr>"),
        ):
            asked = request("REGISTER", uri, contact, to=to)
            if route:
                asked.add("Route", f"<sip:{US[0]};lr>")
                asked.add("Route", route)
            assert (await asker.ask(asked)).status == 401  # ours: it was not passed on
        assert world.names.asked == []
        assert world.pbx.registrar.seen == []


async def test_a_phone_that_says_nothing_of_pushes_is_challenged_by_us() -> None:
    world = sponsored()
    async with world.running():
        assert (await world.do(guest_phone(world, "").register())).status == 403
        assert world.pbx.registrar.seen == []


async def test_a_phone_that_has_enrolled_is_no_guest() -> None:
    world = sponsored()
    async with world.running():
        account = await world.enrol()
        seen = len(world.pbx.registrar.seen)
        phone = await arrived(world)
        assert len(world.pbx.registrar.seen) == seen
        assert stored(world) == []
        assert world.phones.flows(account.id)
        assert not capabilities(phone.registers[-1])


async def test_a_guest_that_enrols_is_a_guest_no_longer() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        (guest,) = stored(world)
        await world.enrol()
        phone.forget_challenge()
        assert (await world.do(phone.register())).status == 200
        await world.until(lambda: stored(world) == [])
        assert not world.phones.flows(guest.number)


# Hostile


@pytest.mark.parametrize("params", [";pn-prid=x", RESOURCE + RESOURCE, ";pn-provider=fcm;pn-prid=%ff"])
async def test_parameters_that_cannot_be_meant_are_400(params: str) -> None:
    world = sponsored()
    async with world.running():
        response = await stranger(world).ask(
            request(
                "REGISTER",
                f"sip:{DOMAIN}",
                ("Contact", f"<sip:alice@203.0.113.99{params}>"),
                to=f"sip:alice@{DOMAIN}",
            )
        )
        assert response.status == 400
        assert world.pbx.registrar.seen == []


async def test_no_more_hops_are_483() -> None:
    world = sponsored()
    async with world.running():
        asked = request(
            "REGISTER",
            f"sip:{DOMAIN}",
            ("Contact", f"<sip:alice@203.0.113.99{RESOURCE}>"),
            ("Max-Forwards", "0"),
            to=f"sip:alice@{DOMAIN}",
        )
        assert (await stranger(world).ask(asked)).status == 483


async def test_an_app_that_registers_without_end_is_slowed_and_the_pbx_spared() -> None:
    world = sponsored()
    async with world.running():
        asker = stranger(world)
        for _ in range(45):
            asker.send(
                request(
                    "REGISTER",
                    f"sip:{DOMAIN}",
                    ("Contact", f"<sip:alice@203.0.113.99{RESOURCE}>"),
                    to=f"sip:alice@{DOMAIN}",
                )
            )
        await world.until(lambda: len(asker.responses) >= 45)
        statuses = [one.status for one in asker.responses]
        assert statuses.count(401) <= 20
        assert set(statuses) == {401, 503}
        assert all(one.get("retry-after") for one in asker.responses if one.status == 503)
        assert (await world.do(guest_phone(world).register())).status == 200, "others are not slowed"


async def test_strangers_without_end_spare_the_pbx_and_no_known_phone_waits_for_them() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        seen = len(world.pbx.registrar.seen)
        for number in range(300):
            stranger(world, f"203.0.{113 + number // 200}.{number % 200 + 20}").send(
                request(
                    "REGISTER",
                    f"sip:{DOMAIN}",
                    ("Contact", f"<sip:u{number}@203.0.113.99{RESOURCE}{number}>"),
                    to=f"sip:user{number}@{DOMAIN}",
                )
            )
        await world.run_for(20)
        assert 190 <= len(world.pbx.registrar.seen) - seen <= 210
        assert (await world.do(phone.register())).status == 200


async def test_guessing_a_password_through_us_is_slowed() -> None:
    world = sponsored()
    async with world.running():
        phones = [guest_phone(world, port=6000 + number) for number in range(6)]
        for phone in phones:
            phone.password = "a guess"
            await world.do(phone.register())
        assert phones[-1].registers[-1].status == 503
        seen = len(world.pbx.registrar.seen)
        honest = guest_phone(world, address="203.0.113.8")
        assert (await world.do(honest.register())).status == 200
        assert len(world.pbx.registrar.seen) == seen + 2


async def test_a_pbx_that_does_not_answer_is_told_of() -> None:
    world = sponsored()
    world.pbx.rules.is_silent = True
    async with world.running():
        phone = guest_phone(world)
        response = await world.do(phone.register(within=60.0))
        assert response.status == 504


async def test_a_pbx_without_address_is_told_of() -> None:
    world = sponsored()
    world.names.zone.clear()
    async with world.running():
        assert (await world.do(guest_phone(world).register())).status == 480


async def test_a_disk_that_hangs_keeps_no_phone_waiting() -> None:
    world = sponsored()
    async with world.running():
        world.store.break_next(Fault.BEFORE_COMMIT)
        phone = await arrived(world)
        assert stored(world) == []
        assert (await world.do(phone.register())).status == 200
        assert len(stored(world)) == 1


async def test_apple_s_tokens_are_kept_by_what_they_are_for() -> None:
    world = sponsored(offers=(FCM, APNS))
    async with world.running():
        await arrived(world, VOIP)
        (guest,) = stored(world)
        (target,) = guest.targets
        assert (target.provider, target.purposes) == (Provider.APNS, frozenset({Purpose.CALL}))
        assert guest.next_at == guest.expires_at, "no silent push to a target that has to ring"
