"""What a record-routing proxy does to a message (RFC 3261 16.4, 16.6, RFC 5658)."""

from __future__ import annotations

import pytest

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.routing import (
    forwarded,
    next_hop,
    put_routes,
    record_again,
    record_routes,
    take_own_routes,
)
from wakerobin.core.sip.uri import SipUri


def is_ours(uri: SipUri) -> bool:
    return uri.user.startswith("token")


def request(*routes: str, uri: str = "sip:alice@192.0.2.5", **headers: str) -> Message:
    message = Message.request(
        "INFO", uri, [(name.replace("_", "-"), value) for name, value in headers.items()]
    )
    for route in routes:
        message.add("Route", route)
    return message


def taken(message: Message) -> list[str]:
    return [uri.user for uri in take_own_routes(message, is_ours)]


def test_all_of_our_routes_at_the_top_are_taken_and_the_rest_stays() -> None:
    message = request("<sip:token1@a;lr>, <sip:token2@b;lr>", "<sip:edge@c;lr>", "<sip:token3@d;lr>")
    assert taken(message) == ["token1", "token2"]
    assert message.values("route") == ["<sip:edge@c;lr>", "<sip:token3@d;lr>"]


def test_a_foreign_route_on_top_means_that_nothing_is_ours() -> None:
    message = request("<sip:edge@c;lr>", "<sip:token1@a;lr>")
    assert taken(message) == []
    assert len(message.values("route")) == 2


@pytest.mark.parametrize("route", ["nonsense", "<sip:>", "<>", "<sip:token@a"])
def test_a_route_that_nobody_can_read_is_not_ours(route: str) -> None:
    message = request(route)
    assert taken(message) == []
    assert message.has("route")


def test_a_strict_router_s_request_uri_is_put_right() -> None:
    message = request("<sip:token2@b;lr>", "<sip:alice@192.0.2.5>", uri="sip:token1@a;lr")
    assert taken(message) == ["token1", "token2"]
    assert message.uri == "sip:alice@192.0.2.5"
    assert not message.has("route")


def test_our_own_address_in_the_request_uri_is_left_alone_without_any_route() -> None:
    message = request(uri="sip:token1@a;lr")
    assert taken(message) == []
    assert message.uri == "sip:token1@a;lr"


def test_max_forwards_is_lowered_in_the_copy_only() -> None:
    message = request(Max_Forwards="2")
    assert forwarded(message).max_forwards == 1
    assert message.max_forwards == 2


def test_a_request_without_max_forwards_gets_the_usual_one() -> None:
    assert forwarded(request()).max_forwards == 70


def test_a_request_whose_hops_are_used_up_is_refused_with_483() -> None:
    with pytest.raises(SipSyntaxError) as refused:
        forwarded(request(Max_Forwards="0"))
    assert refused.value.status == 483


def test_the_second_record_route_is_nearest_to_where_the_request_goes() -> None:
    message = request(Record_Route="<sip:before@us;lr>")
    record_routes(message, first="sip:in@us;lr", second="sip:out@us;lr")
    assert message.values("record-route") == ["<sip:out@us;lr>", "<sip:in@us;lr>", "<sip:before@us;lr>"]


def test_preloaded_routes_go_before_what_is_there_in_their_order() -> None:
    message = request("<sip:c;lr>")
    put_routes(message, ["<sip:a;lr>", "<sip:b;lr>"])
    assert message.values("route") == ["<sip:a;lr>", "<sip:b;lr>", "<sip:c;lr>"]
    put_routes(message, [])
    assert len(message.values("route")) == 3


def test_the_next_hop_is_the_first_route_else_the_request_uri() -> None:
    assert next_hop(request()).host == "192.0.2.5"
    message = request("<sip:edge@192.0.2.9:5070;lr>")
    assert (next_hop(message).host, next_hop(message).port) == ("192.0.2.9", 5070)
    assert message.uri == "sip:alice@192.0.2.5"
    assert message.values("route") == ["<sip:edge@192.0.2.9:5070;lr>"]


def test_towards_a_strict_router_the_target_travels_last() -> None:
    message = request("<sip:old@192.0.2.9>", "<sip:next@192.0.2.10;lr>")
    assert next_hop(message).host == "192.0.2.9"
    assert message.uri == "sip:old@192.0.2.9"
    assert message.values("route") == ["<sip:next@192.0.2.10;lr>", "<sip:alice@192.0.2.5>"]


@pytest.mark.parametrize("route", ["nonsense", "<sip:>", "<>"])
def test_a_next_hop_that_nobody_can_read_is_refused(route: str) -> None:
    with pytest.raises(SipSyntaxError):
        next_hop(request(route))


def test_the_routes_of_a_dialog_are_recorded_again_in_the_order_of_the_other_side() -> None:
    message = request()
    ours = [SipUri.parse(f"sip:{one};lr") for one in ("one@a", "here.example", "two@b")]
    record_again(message, ours)
    # The last that the sender passed is the first that the receiver will pass; a listener is no way back.
    assert message.values("record-route") == ["<sip:two@b;lr>", "<sip:one@a;lr>"]
