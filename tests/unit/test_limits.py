"""Who sends a request, and how much they may send."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wakerobin.core.addresses import networks_in
from wakerobin.ports.options import HttpOptions
from wakerobin.web.limits import LARGEST_BODY, AddressBudget, Doors
from wakerobin.web.visitors import Visitor, visitor_of

TRUSTED = networks_in(["10.0.0.0/8", "127.0.0.1"])


def scope(peer: str, scheme: str = "http", **headers: str) -> dict[str, Any]:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/push-registrations",
        "scheme": scheme,
        "client": (peer, 1234) if peer else None,
        "headers": lines,
    }


def behind(chain: str) -> dict[str, Any]:
    """A request over a trusted TLS proxy."""
    return scope("10.0.0.1", x_forwarded_for=chain, x_forwarded_proto="https")


@pytest.mark.parametrize(
    ("given", "address", "is_private", "is_near"),
    [
        (scope("203.0.113.7"), "203.0.113.7", False, False),
        (scope("203.0.113.7", "https"), "203.0.113.7", True, False),
        (scope("127.0.0.2"), "127.0.0.2", True, True),
        (scope("::1"), "::1", True, True),
        (scope("::ffff:203.0.113.7"), "203.0.113.7", False, False),
        (scope("192.168.1.5"), "192.168.1.5", False, True),
        (scope(""), "", True, True),
        # an unknown proxy is not believed, and hides who comes
        (scope("203.0.113.7", x_forwarded_for="127.0.0.1"), "203.0.113.7", False, False),
        (scope("203.0.113.7", x_forwarded_proto="https"), "203.0.113.7", False, False),
        (scope("127.0.0.2", x_forwarded_for="203.0.113.9"), "127.0.0.2", True, False),
        (scope("127.0.0.2", x_forwarded_proto="http"), "127.0.0.2", False, True),
        # a trusted one is believed, as far as its chain is trusted
        (behind("203.0.113.9"), "203.0.113.9", True, False),
        (behind("1.2.3.4, 203.0.113.9"), "203.0.113.9", True, False),
        (behind("203.0.113.9, 10.0.0.2"), "203.0.113.9", True, False),
        (behind("203.0.113.9:4711"), "203.0.113.9", True, False),
        (behind("[2001:db8::1]:4711"), "2001:db8::1", True, False),
        (behind("unknown, 10.0.0.2"), "10.0.0.2", True, True),
        (behind("nonsense"), "10.0.0.1", True, True),
        # and it has to say that its own client is on TLS
        (scope("10.0.0.1"), "10.0.0.1", False, True),
        (scope("10.0.0.1", x_forwarded_for="203.0.113.9"), "203.0.113.9", False, False),
        (scope("127.0.0.1", x_forwarded_for="203.0.113.9"), "203.0.113.9", False, False),
        (scope("127.0.0.1"), "127.0.0.1", True, True),
        (
            scope("10.0.0.1", x_forwarded_for="203.0.113.9", x_forwarded_proto="http"),
            "203.0.113.9",
            False,
            False,
        ),
        (scope("10.0.0.1", x_forwarded_proto="https, http"), "10.0.0.1", False, True),
        (scope("10.0.0.1", x_forwarded_proto="HTTPS"), "10.0.0.1", True, True),
    ],
)
def test_what_is_believed_of_who_comes(
    given: dict[str, Any], address: str, is_private: bool, is_near: bool
) -> None:
    assert visitor_of(given, TRUSTED) == Visitor(address, is_private, is_near)


def test_two_addresses_of_one_ipv6_customer_count_as_one() -> None:
    keys = {visitor_of(scope(peer), ()).key for peer in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9")}
    assert keys == {"2001:db8:1:2::/64"}
    assert visitor_of(scope("203.0.113.7"), ()).key == "203.0.113.7"


def test_an_address_has_its_hours_budget_and_gets_it_back_with_time() -> None:
    budget = AddressBudget(3)
    assert [budget.take("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert budget.take("a", 0.0) == pytest.approx(1200.0)
    assert budget.take("b", 0.0) == 0.0
    assert budget.take("a", 1200.0) == 0.0
    assert budget.take("a", 1200.0) > 0


def test_the_addresses_that_are_remembered_are_bounded() -> None:
    budget = AddressBudget(1, most_addresses=2)
    for key in ("a", "b", "a", "c"):
        budget.take(key, 0.0)
    assert budget.take("a", 0.0) > 0, "who came last is remembered"
    assert budget.take("b", 0.0) == 0.0, "who was quiet for longest is forgotten"


class Room:
    """An application behind the doors that notes what reached it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.bodies.append(message["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def knock(given: dict[str, Any], parts: list[bytes], **options: Any) -> tuple[int, Room]:
    """Send a body in parts through the doors; return the status and the room behind them."""
    room, sent = Room(), []
    waiting = [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
        for index, part in enumerate(parts)
    ]
    doors = Doors(room, HttpOptions(**options), is_ready=lambda: True)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.get_running_loop().create_future()
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await doors(given, receive, send)
    return sent[0]["status"], room


async def test_a_body_arrives_whole_however_it_was_cut() -> None:
    status, room = await knock(scope("127.0.0.1", content_type="application/json"), [b"{", b"", b"}"])
    assert (status, room.bodies) == (204, [b"{}"])


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_that_is_too_large_is_refused_before_it_is_read_to_the_end(is_announced: bool) -> None:
    given = scope("127.0.0.1", content_type="application/json")
    if is_announced:
        given["headers"].append((b"content-length", str(LARGEST_BODY + 1).encode()))
    parts = [b"x" * 4096] * 5
    assert (await knock(given, parts))[0] == 413
    fits = scope("127.0.0.1", content_type="application/json; charset=utf-8")
    assert (await knock(fits, [b"x" * LARGEST_BODY]))[0] == 204


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 204),
        ("Application/JSON;charset=utf-8", 204),
        ("application/merge-patch+json", 204),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
async def test_only_json_is_read(media_type: str, status: int) -> None:
    headers = {"content_type": media_type} if media_type else {}
    assert (await knock(scope("127.0.0.1", **headers), [b"{}"]))[0] == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("push.example.com", 204),
        ("PUSH.example.com:8443", 204),
        ("push.example.com.", 204),
        ("[2001:db8::1]:80", 204),
        ("[2001:db8::1]", 204),
        ("evil.example", 421),
        ("", 421),
    ],
)
async def test_only_the_servers_own_names_are_answered(host: str, status: int) -> None:
    hosts = ("push.example.com", "[2001:db8::1]")
    assert (await knock(scope("127.0.0.1", host=host), [b""], hosts=hosts))[0] == status


async def test_secrets_are_not_taken_over_plain_http_from_elsewhere() -> None:
    assert (await knock(scope("203.0.113.7"), [b""]))[0] == 403
    assert (await knock(scope("203.0.113.7", "https"), [b""]))[0] == 204
    proxied = scope("10.0.0.1", x_forwarded_for="203.0.113.7", x_forwarded_proto="https")
    assert (await knock(proxied, [b""], trusted_proxies=("10.0.0.0/8",)))[0] == 204
    assert (await knock(proxied, [b""]))[0] == 403


async def test_while_it_starts_it_says_so() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await Doors(Room(), HttpOptions(), is_ready=lambda: False)(scope("127.0.0.1"), receive, send)
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
