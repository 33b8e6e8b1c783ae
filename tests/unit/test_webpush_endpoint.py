"""Endpoints come from apps: what they may be before any address is looked up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.push.webpush.endpoint import MOST_OCTETS, Endpoint, read_endpoint

ANY = DestinationPolicy()
OWN = DestinationPolicy(named=frozenset(("Push.lan:8443", "[fd00::1]:8443", "ntfy.lan")))


@pytest.mark.parametrize(
    ("url", "host", "path", "origin"),
    [
        ("https://push.example/a/b?c=d&e", "push.example", "/a/b?c=d&e", "https://push.example"),
        ("https://PUSH.example:443/x", "push.example", "/x", "https://push.example"),
        ("https://push.example", "push.example", "/", "https://push.example"),
        ("https://push.example/x#y", "push.example", "/x", "https://push.example"),
        ("https://192.0.2.1/x", "192.0.2.1", "/x", "https://192.0.2.1"),
        ("https://[2001:db8::1]/x", "2001:db8::1", "/x", "https://[2001:db8::1]"),
    ],
)
def test_an_endpoint_is_read_and_its_token_names_its_origin(
    url: str, host: str, path: str, origin: str
) -> None:
    endpoint = read_endpoint(url, ANY)
    assert endpoint == Endpoint(host, 443, path)
    assert endpoint.origin == origin


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://push.example/x", "no https"),
        ("ftp://push.example/x", "no https"),
        ("/x", "no https"),
        ("https:///x", "no https"),
        ("https://user@push.example/x", "user"),
        ("https://user:password@push.example/x", "user"),
        ("https://@push.example/x", "user"),
        ("https://push.example:8443/x", "port 8443"),
        ("https://push.example:0/x", "port 0"),
        ("https://push.example:99999/x", "no URL"),
        ("https://push.example:x/", "no URL"),
        ("https://[::1/x", "no URL"),
        ("https://push.example/a b", "no URL"),
        ("https://push.example/a\r\nX: y", "no URL"),
        ("https://push.example/é", "no URL"),
        ("https://pu%73h.example/", "no host"),
        ("https://push..example/", "no host"),
        ("https://127.1/", "no host"),
        ("https://push.example/" + "x" * MOST_OCTETS, "1000"),
        ("", "no URL"),
        ("ab" * 32, "no https"),
    ],
)
def test_what_is_no_endpoint_is_refused_in_words(url: str, why: str) -> None:
    refusal = read_endpoint(url, ANY)
    assert isinstance(refusal, str)
    assert why in refusal


def test_another_port_is_for_hosts_that_the_operator_named_with_it() -> None:
    assert isinstance(read_endpoint("https://push.lan:8443/x", OWN), Endpoint)
    assert isinstance(read_endpoint("https://[fd00::1]:8443/x", OWN), Endpoint)
    assert read_endpoint("https://push.lan:8444/x", OWN) == "a URL with port 8444"
    assert read_endpoint("https://ntfy.lan:8443/x", OWN) == "a URL with port 8443"


@given(st.one_of(st.text(), st.text().map(lambda text: f"https://{text}")))
def test_whatever_an_app_sends_is_an_endpoint_or_a_refusal(url: str) -> None:
    endpoint = read_endpoint(url, ANY)
    if isinstance(endpoint, Endpoint):
        assert endpoint.port == 443
        assert endpoint.path.isascii()
        assert endpoint.path.isprintable()
        assert " " not in endpoint.path
