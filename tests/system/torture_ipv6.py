"""The problems of RFC 5118 (SIP and IPv6), as those of RFC 4475 are posed."""

from __future__ import annotations

from tests.system.torture import (
    NUMBERS,
    READ,
    SDP,
    STRANGER,
    THERE,
    UNKNOWN,
    Case,
    invite,
    message,
    options,
    register,
)

_SDP6 = SDP.replace("IP4 198.51.100.4", "IP6 2001:db8:77::4")


def _via6() -> str:
    return f"SIP/2.0/UDP [2001:db8::9:1];rport;branch=z9hG4bKas3-{next(NUMBERS)}"


RFC_5118 = (
    Case(
        "ipv6-good",
        "4.1",
        register(uri="sip:[2001:db8::10]", Via=_via6(), Contact='"Caller" <sip:caller@[2001:db8::1]>'),
        UNKNOWN,
        "it is read; no such account is here",
    ),
    Case(
        "ipv6-bad",
        "4.2",
        register(uri="sip:2001:db8::10", Via=_via6(), Contact='"Caller" <sip:caller@[2001:db8::1]>'),
        400,
        "an address without brackets in the Request-URI",
    ),
    Case(
        "port-ambiguous",
        "4.3",
        register(uri="sip:[2001:db8::10:5070]", Via=_via6(), Contact='"Caller" <sip:caller@[2001:db8::1]>'),
        UNKNOWN,
        "5070 is part of the address, which is nobody's mistake but the sender's",
    ),
    Case(
        "port-unambiguous",
        "4.4",
        register(uri="sip:[2001:db8::10]:5070", Via=_via6(), Contact='"Caller" <sip:caller@[2001:db8::1]>'),
        UNKNOWN,
        "it is read; no such account is here",
    ),
    Case(
        "via-received-param-with-delim",
        "4.5",
        options(Via="SIP/2.0/UDP [2001:db8::9:1];rport;received=[2001:db8::9:255];branch=z9hG4bKas3"),
        STRANGER,
        "where it came from is what we write there: " + READ,
    ),
    Case(
        "via-received-param-no-delim",
        "4.5",
        options(Via="SIP/2.0/UDP [2001:db8::9:1];rport;received=2001:db8::9:255;branch=z9hG4bKas"),
        STRANGER,
        READ,
    ),
    Case(
        "ipv6-in-sdp",
        "4.6",
        invite(content=_SDP6, uri="sip:user@[2001:db8::10]", Via=_via6()),
        STRANGER,
        READ,
    ),
    Case(
        "mult-ip-in-header",
        "4.7",
        message(
            "BYE sip:user@host.north.example SIP/2.0",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144",
            "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200",
            Via=_via6(),
            To=f"<sip:tower@{THERE}>;tag=t1",
        ),
        481,
        "it is of no dialog through here",
    ),
    Case(
        "mult-ip-in-sdp",
        "4.8",
        invite(content=SDP + "m=video 6000 RTP/AVP 31\r\nc=IN IP6 2001:db8::1\r\n", Via=_via6()),
        STRANGER,
        READ,
    ),
    Case(
        "ipv4-mapped-ipv6",
        "4.9",
        invite(
            Via="SIP/2.0/UDP [::ffff:192.0.2.10]:19823;rport;branch=z9hG4bKbh19",
            Contact='"T. desk phone" <sip:ted@[::ffff:192.0.2.2]>',
            content=_SDP6.replace("2001:db8:77::4", "::ffff:192.0.2.2"),
        ),
        STRANGER,
        READ,
    ),
    Case(
        "ipv6-bug-abnf-3-colons",
        "4.10",
        options(uri="sip:user@[2001:db8:::192.0.2.1]", Via=_via6()),
        400,
        "three colons, which the grammar of RFC 3261 let pass, are no address",
    ),
)
