"""Where this server may send to, as the configuration says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wakerobin.core.values import Secret
from wakerobin.net.interfaces import local_addresses
from wakerobin.ports.options import (
    AcrobitsOptions,
    ApnsOptions,
    AppOptions,
    FcmOptions,
    HttpOptions,
    Options,
    SipOptions,
    WebhookOptions,
    WebPushOptions,
)
from wakerobin.server.policies import destination_policy, endpoint_refusal, own_listeners

LOCAL = frozenset({"127.0.0.1", "::1", "192.168.1.9", "2001:db8::9"})
FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
           |-- 192.0.2.2
              /32 host LOCAL
"""
IF_INET6 = """20010db8000000000000000000000009 02 40 00 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


def options(*registrars: str, listen: tuple[str, ...] = (), http: str = "") -> Options:
    app = AppOptions(enrolment_key=Secret("x"), registrars=registrars)
    sip = SipOptions(listen=listen or SipOptions().listen)
    return Options(sip=sip, http=HttpOptions(listen=http), apps={"phone": app})


def test_a_listener_on_all_addresses_is_this_server_on_each_of_them() -> None:
    found = own_listeners(options(listen=("udp:0.0.0.0:5060", "tcp:[::]:5062"), http="127.0.0.1:8088"), LOCAL)
    assert found == {(one, port) for one in LOCAL for port in (5060, 5062)} | {("127.0.0.1", 8088)}


def test_a_listener_of_one_address_is_this_server_there_alone() -> None:
    assert own_listeners(options(listen=("udp:[::1]:5060", "tcp:10.0.0.1:0")), LOCAL) == {("::1", 5060)}


@pytest.mark.parametrize(
    ("address", "port", "is_allowed"),
    [
        ("127.0.0.1", 5070, True),
        ("127.0.0.1", 5060, False),
        ("127.0.0.1", 8088, False),
        ("::ffff:127.0.0.1", 5060, False),
        ("127.0.0.2", 5060, False),
        ("2001:db8::9", 5060, False),
        ("192.168.1.9", 5060, False),
        ("192.168.1.8", 5060, True),
        ("10.0.0.1", 5060, False),
        ("8.8.8.8", 5060, True),
        ("169.254.169.254", 80, False),
    ],
)
def test_what_the_operator_lists_opens_everything_there_but_this_server(
    address: str, port: int, is_allowed: bool
) -> None:
    policy = destination_policy(options("127.0.0.1", "192.168.1.0/24", http="0.0.0.0:8088"), LOCAL)
    assert (policy.refusal(address, port) is None) is is_allowed


@pytest.mark.parametrize(
    "app",
    [
        AppOptions(apns=ApnsOptions(url="https://127.0.0.1:4430")),
        AppOptions(fcm=FcmOptions(url="https://127.0.0.1:4430")),
        AppOptions(fcm=FcmOptions(token_url="https://127.0.0.1:4430/token")),
        AppOptions(webhook=WebhookOptions(url="https://127.0.0.1:4430/in?key=1")),
        AppOptions(acrobits=AcrobitsOptions(url="https://127.0.0.1:4430/pnm2/send")),
    ],
)
def test_no_endpoint_that_an_app_brings_leads_to_a_push_service_of_the_operators(app: AppOptions) -> None:
    policy = destination_policy(Options(apps={"phone": app}), LOCAL)
    assert policy.refusal("127.0.0.1", 4430)
    assert endpoint_refusal(policy)("https://127.0.0.1:4430/in?key=1")


def test_an_endpoint_leads_to_a_push_service_of_the_operators_where_it_is_listed_for_that() -> None:
    app = AppOptions(webpush=WebPushOptions(hosts=("127.0.0.1:4430",)))
    refusal = endpoint_refusal(destination_policy(Options(apps={"phone": app}), LOCAL))
    assert refusal("https://127.0.0.1:4430/up") == ""
    assert refusal("https://127.0.0.1:4431/up")
    assert refusal("https://127.0.0.1/up")


def test_the_addresses_of_this_machine_are_read_as_linux_lists_them(tmp_path: Path) -> None:
    assert local_addresses(tmp_path) == frozenset()
    (tmp_path / "fib_trie").write_text(FIB_TRIE)
    assert local_addresses(tmp_path) == {"127.0.0.1", "192.0.2.2"}
    (tmp_path / "if_inet6").write_text(IF_INET6)
    assert local_addresses(tmp_path) == {"127.0.0.1", "192.0.2.2", "::1", "2001:db8::9"}
    assert "127.0.0.1" in local_addresses()
