"""The problems of RFC 4475, each posed by a message of our own and called by its name there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TypeAlias

NUMBERS = itertools.count()
"""Each message begins a transaction of its own."""

HERE, THERE = "south.example", "north.example"
SDP = (
    "v=0\r\no=lena 7 7 IN IP4 198.51.100.4\r\ns=-\r\nc=IN IP4 198.51.100.4\r\nt=0 0\r\n"
    "m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


@dataclass(frozen=True, slots=True)
class Case:
    """A message and what a stranger gets for it: the status of our answer, or None for silence."""

    name: str
    section: str
    data: bytes = field(repr=False)
    answer: int | None
    why: str

    @property
    def id(self) -> str:
        """What a test run shows."""
        return f"{self.section}-{self.name}"


Headers: TypeAlias = dict[str, str | None]


def message(start: str, *extra: str, content: str | bytes = "", **headers: str | None) -> bytes:
    """Write a message that is right but for the lines given; None leaves a line out."""
    return _message(start, extra, headers, content)


def _message(start: str, extra: tuple[str, ...], headers: Headers, content: str | bytes = "") -> bytes:
    octets = content if isinstance(content, bytes) else content.encode()
    method = "OPTIONS" if start.startswith("SIP/") else start.split()[0]
    lines: Headers = {
        "Via": f"SIP/2.0/UDP 198.51.100.4;branch=z9hG4bKt0r7{next(NUMBERS)};rport",
        "From": f"<sip:lena@{HERE}>;tag=s7",
        "To": f"<sip:tower@{THERE}>",
        "Call-ID": "keeper.198.51.100.4",
        "CSeq": f"6 {method}",
        "Max-Forwards": "70",
        "Contact": "<sip:lena@198.51.100.4>",
        "Content-Length": str(len(octets)),
    }
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    written = [f"{name}: {value}" for name, value in lines.items() if value is not None]
    return "\r\n".join([start, *written, *extra, "", ""]).encode() + octets


def invite(*extra: str, content: str = SDP, uri: str = f"sip:tower@{THERE}", **headers: str | None) -> bytes:
    return _message(f"INVITE {uri} SIP/2.0", ("Content-Type: application/sdp", *extra), headers, content)


def register(*extra: str, uri: str = f"sip:{HERE}", **headers: str | None) -> bytes:
    headers.setdefault("To", f"<sip:lena@{HERE}>")
    return _message(f"REGISTER {uri} SIP/2.0", extra, headers)


def options(*extra: str, uri: str = f"sip:tower@{THERE}", content: str = "", **headers: str | None) -> bytes:
    return _message(f"OPTIONS {uri} SIP/2.0", extra, headers, content)


STRANGER, UNKNOWN, NOT_SIP = 403, 401, 416
READ = "it is read, and refused because nobody registered here"

_LONG = "very" * 60
RFC_4475 = (
    Case(
        "wsinv",
        "3.1.1.1",
        (
            b"INVITE sip:tower-4.north.example;unknownparam SIP/2.0\r\n"
            b"TO :\r\n sip:keeper@tower-4.north.example ;   tag    = 77n\r\n"
            b'fRoM   : "L \\\\\\"S\\\\\\""       <sip:lena@south.example>\r\n  ;\r\n  tag = 98x\r\n'
            b"mAx-FoRwArDs: 0068\r\nCALL-id: keeper.ndax@198.51.100.1\r\ncontent-LENGTH   : %d\r\n"
            b"cseq: 0009\r\n  INVITE\r\n"
            b"Via  : SIP  /   2.0\r\n /UDP\r\n    198.51.100.2;rport;branch=390skdjuw\r\n"
            b"s :\r\nNewFangledHeader:   new fangled value\r\n continued newfangled value\r\n"
            b"UnknownHeaderWithUnusualValue: ;;,,;;,;\r\nContent-Type: application/sdp\r\n"
            b"Route:\r\n <sip:services.north.example;lr;unknownwith=value;unknown-no-value>\r\n"
            b"v:  SIP  / 2.0  / TCP     spindle.north.example   ;\r\n  branch  =   z9hG4bK9ik8  ,\r\n"
            b" SIP  /    2.0   / UDP  198.51.100.255   ; branch=\r\n z9hG4bK30239\r\n"
            b'm:"Quoted string \\"\\"" <sip:lena@south.example> ; newparam =\r\n      newvalue ;\r\n'
            b"  secondparam ; q = 0.33\r\n\r\n" % len(SDP)
        )
        + SDP.encode(),
        481,
        "it has a To tag, and is of no dialog through here",
    ),
    Case(
        "intmeth",
        "3.1.1.2",
        message(
            "!odd-Method0123456789_*+`.%indeed'~ "
            "sip:1_odd.URI~(to-be!sure)&isn't+it$/mad?,/;;*:&it+has=1,pas$wo~d_too.(no-it)@north.example "
            "SIP/2.0",
            "extensionHeader-!.%*+_`'~: \ufeff大停電",
            To='"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_odd~(yes)&isn\'t+it$/mad?,/;;*@north.example>',
            From="one~` two'+_ thr*%!.- <sip:plain@south.example>;p''~+*_!.-%=\"работающий\""
            ";tag=_t~1'+`*%!-.",
            Call_ID="word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
            Max_Forwards="255",
        ),
        STRANGER,
        READ,
    ),
    Case(
        "esc01",
        "3.1.1.3",
        invite(
            uri="sip:sips%3Auser%40south.example@north.example",
            To="sip:%75se%72@north.example",
            From="<sip:I%20have%20spaces@south.example>;tag=938",
            Contact="<sip:cal%6Cer@host5.south.example;%6C%72;n%61me=v%61lue%25%34%31>",
        ),
        STRANGER,
        READ,
    ),
    Case(
        "escnull",
        "3.1.1.4",
        register(
            "Contact: <sip:%00@host5.south.example>",
            "Contact: <sip:%00%00@host5.south.example>",
            To="sip:null-%00-null@south.example",
            From="sip:null-%00-null@south.example;tag=839923423",
            Contact=None,
        ),
        UNKNOWN,
        "it is read; no such account is here",
    ),
    Case(
        "esc02",
        "3.1.1.5",
        message(
            "RE%47IST%45R sip:registrar.south.example SIP/2.0",
            "Contact: <sip:alias1@host1.south.example>",
            "C%6Fntact: <sip:alias2@host2.south.example>",
            "Contact: <sip:alias3@host3.south.example>",
            To='"%Z%45" <sip:resource@south.example>',
            From='"%Z%45" <sip:resource@south.example>;tag=f232jadfj23',
            Contact=None,
        ),
        STRANGER,
        "a method of its own, not REGISTER: " + READ,
    ),
    Case(
        "lwsdisp",
        "3.1.1.6",
        options(From="lena<sip:lena@south.example>;tag=323"),
        STRANGER,
        READ,
    ),
    Case(
        "longreq",
        "3.1.1.7",
        invite(
            f"Unknown-{_LONG}-Name: unknown-{_LONG}-value; unknown-{_LONG}-name = unknown-{_LONG}-value",
            *(f"Via: SIP/2.0/TCP sip{n}.north.example;branch=z9hG4bK{_LONG}{n}" for n in range(1, 34)),
            To=f'"My name has a length of {_LONG} much" <sip:tower@{THERE}:6000;unknownparam1={_LONG};'
            f"long{_LONG}name=shortvalue>",
            From=f"sip:{_LONG}@{HERE};tag={'12' * 90};unknown{_LONG}name={_LONG};unknownparam{_LONG}",
            Call_ID=f"longreq.one{_LONG}id",
        ),
        STRANGER,
        READ,
    ),
    Case(
        "dblreq",
        "3.1.1.8",
        register(Content_Length="0") + b"\r\n" + invite(Call_ID="the.second.198.51.100.4"),
        UNKNOWN,
        "the first is read, what follows in the datagram is not",
    ),
    Case(
        "semiuri",
        "3.1.1.9",
        options(uri="sip:user;par=u%40example.net@north.example", To="sip:j_user@north.example"),
        STRANGER,
        READ,
    ),
    Case(
        "transports",
        "3.1.1.10",
        options(
            "Via: SIP/2.0/SCTP t2.north.example;branch=z9hG4bKklasjdhf",
            "Via: SIP/2.0/TLS t3.north.example;branch=z9hG4bK2980unddj",
            "Via: SIP/2.0/UNKNOWN t4.north.example;branch=z9hG4bKasd0f3en",
            "Via: SIP/2.0/TCP t5.north.example;branch=z9hG4bK0a9idfnee",
        ),
        STRANGER,
        READ,
    ),
    Case(
        "mpart01",
        "3.1.1.11",
        message(
            f"MESSAGE sip:tower@{THERE} SIP/2.0",
            "MIME-Version: 1.0",
            "Content-Type: multipart/mixed;boundary=7a9cbec02ceef655",
            content=b"--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHi\n\n"
            b"--7a9cbec02ceef655\r\nContent-Type: application/octet-stream\r\n\r\n"
            b"0\x82\x01R\x06\x09\x00\xff\xfe\r\n\r\n"
            b"--7a9cbec02ceef655--",
        ),
        STRANGER,
        READ,
    ),
    Case(
        "unreason",
        "3.1.1.12",
        message("SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять - простое", CSeq="35 INVITE"),
        None,
        "a response that nobody waits for",
    ),
    Case(
        "noreason",
        "3.1.1.13",
        message("SIP/2.0 100 ", CSeq="35 INVITE"),
        None,
        "a response that nobody waits for",
    ),
    Case(
        "badinv01",
        "3.1.2.1",
        invite(
            Via="SIP/2.0/UDP 198.51.100.15;rport;;,;,,",
            Contact='"Joe" <sip:joe@south.example>;;;;',
        ),
        None,
        "with such a Via nobody can say where an answer would go",
    ),
    Case(
        "clerr",
        "3.1.2.2",
        invite(Content_Length="9999"),
        400,
        "the datagram is shorter than it says",
    ),
    Case("ncl", "3.1.2.3", invite(Content_Length="-999"), 400, "a length below zero"),
    Case(
        "scalar02",
        "3.1.2.4",
        register(
            "Expires: 1" + "0" * 100,
            CSeq="36893488147419103232 REGISTER",
            Max_Forwards="300",
            Contact="<sip:user@host129.south.example>\r\n  ;expires=280297596632815",
        ),
        400,
        "CSeq is beyond 2**31, Max-Forwards beyond 255",
    ),
    Case(
        "scalarlg",
        "3.1.2.5",
        message(
            "SIP/2.0 503 Service Unavailable",
            "Retry-After: 949302838503028349304023988",
            'Warning: 1812 overture "In Progress"',
            CSeq="9292394834772304023312 OPTIONS",
        ),
        None,
        "a response is never answered",
    ),
    Case(
        "quotbal",
        "3.1.2.6",
        invite(To='"Mr. J. User <sip:j.user@north.example>'),
        400,
        "a quoted string without end",
    ),
    Case(
        "ltgtruri",
        "3.1.2.7",
        invite(uri="<sip:user@north.example>"),
        400,
        "brackets around the Request-URI",
    ),
    Case("lwsruri", "3.1.2.8", invite(uri="sip:user@north.example; lr"), 400, "a space in the Request-URI"),
    Case(
        "lwsstart",
        "3.1.2.9",
        message("INVITE  sip:user@north.example  SIP/2.0", "Content-Type: application/sdp", content=SDP),
        400,
        "two spaces in the start line",
    ),
    Case(
        "trws",
        "3.1.2.10",
        message(f"OPTIONS sip:remote-target@{THERE} SIP/2.0  "),
        400,
        "spaces behind the version",
    ),
    Case(
        "escruri",
        "3.1.2.11",
        invite(uri="sip:user@north.example?Route=%3Csip:south.example%3E"),
        400,
        "headers in a Request-URI",
    ),
    Case(
        "baddate",
        "3.1.2.12",
        invite("Date: Fri, 01 Jan 2010 16:00:00 EST"),
        STRANGER,
        "a proxy has no use for Date: " + READ,
    ),
    Case(
        "regbadct",
        "3.1.2.13",
        register(Contact=f"sip:user@{HERE}?Route=%3Csip:sip.south.example%3E"),
        400,
        "nobody can say whose the headers behind the ? are",
    ),
    Case(
        "badaspec",
        "3.1.2.14",
        options(To='"Watson, Thomas" < sip:t.watson@north.example >'),
        400,
        "spaces within the brackets",
    ),
    Case(
        "baddn",
        "3.1.2.15",
        options(From="Bell, Alexander <sip:a.g.bell@south.example>;tag=43"),
        400,
        "a comma in a name without quotes",
    ),
    Case(
        "badvers",
        "3.1.2.16",
        message(
            f"OPTIONS sip:t.watson@{THERE} SIP/7.0",
            Via="SIP/7.0/UDP c.north.example;rport;branch=z9hG4bKkdjuw",
        ),
        None,
        "its Via is of that version too, so nobody can say where a 505 would go",
    ),
    Case("mismatch01", "3.1.2.17", options(CSeq="8 INVITE"), 400, "another method in CSeq"),
    Case(
        "mismatch02",
        "3.1.2.18",
        message(f"NEWMETHOD sip:tower@{THERE} SIP/2.0", CSeq="8 INVITE"),
        400,
        "another method in CSeq, whatever the method",
    ),
    Case(
        "bigcode",
        "3.1.2.19",
        message("SIP/2.0 4294967301 better not break the receiver", CSeq="353494 INVITE"),
        None,
        "it is no request, so there is nobody to tell",
    ),
    Case(
        "badbranch",
        "3.2.1",
        options(Via="SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK"),
        400,
        "a branch that names no transaction",
    ),
    Case(
        "insuf",
        "3.3.1",
        invite(Call_ID=None, From=None, To=None),
        400,
        "Call-ID, From and To are missing",
    ),
    Case(
        "unkscm",
        "3.3.2",
        options(uri="nobodyKnowsThisScheme:totallyopaquecontent"),
        NOT_SIP,
        "an unknown scheme",
    ),
    Case(
        "novelsc",
        "3.3.3",
        options(uri="soap.beep://192.0.2.103:3002"),
        NOT_SIP,
        "a scheme that is none of SIP's",
    ),
    Case(
        "unksm2",
        "3.3.4",
        register(
            To="isbn:2983792873", From="<http://www.south.example>;tag=3234233", Contact="<name:John_Smith>"
        ),
        416,
        "an account has a sip: address",
    ),
    Case(
        "bext01",
        "3.3.5",
        options(
            "Require: nothingSupportsThis, nothingSupportsThisEither", "Proxy-Require: noProxiesSupportThis"
        ),
        420,
        "we are the proxy that is asked",
    ),
    Case(
        "invut",
        "3.3.6",
        message(
            f"INVITE sip:tower@{THERE} SIP/2.0", "Content-Type: application/unknownformat", content="<audio/>"
        ),
        STRANGER,
        "bodies are the phones' business: " + READ,
    ),
    Case(
        "regaut01",
        "3.3.7",
        register("Authorization: NoOneKnowsThisScheme opaque-data=here"),
        UNKNOWN,
        "an unknown scheme of authorization is as good as none; no such account is here",
    ),
    Case(
        "multi01",
        "3.3.8",
        invite(
            "CSeq: 59 INVITE",
            "Call-ID: multi01.98asdh@192.0.2.2",
            'From: "Nick" <sip:nick@south.example>;tag=2',
            "To: <sip:you@north.example>",
            "Max-Forwards: 5",
            "Content-Type: text/plain",
        ),
        400,
        "what may stand once stands twice",
    ),
    Case(
        "mcl01",
        "3.3.9",
        options("Content-Length: 5", content="There's no way", Content_Length="13"),
        400,
        "two lengths",
    ),
    Case(
        "bcast",
        "3.3.10",
        message(
            "SIP/2.0 200 OK", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23", CSeq="35 INVITE"
        ),
        None,
        "a response that nobody waits for, and that is sent nowhere",
    ),
    Case(
        "zeromf",
        "3.3.11",
        options(Max_Forwards="0"),
        STRANGER,
        "an OPTIONS may end here; a stranger would have been refused anyway",
    ),
    Case(
        "cparam01",
        "3.3.12",
        register(Contact="sip:+19725552222@gw1.south.example;unknownparam"),
        UNKNOWN,
        "it is read; no such account is here",
    ),
    Case(
        "cparam02",
        "3.3.13",
        register(Contact="<sip:+19725552222@gw1.south.example;unknownparam>"),
        UNKNOWN,
        "it is read; no such account is here",
    ),
    Case(
        "regescrt",
        "3.3.14",
        register("M: <sip:user@south.example?Route=%3Csip:sip.south.example%3E>", Contact=None),
        400,
        "it is read, and refused: a phone is reached at a URI without headers",
    ),
    Case(
        "sdp01",
        "3.3.15",
        invite("Accept: text/nobodyKnowsThis"),
        STRANGER,
        "what a phone accepts is between the ends: " + READ,
    ),
    Case(
        "inv2543",
        "3.4.1",
        invite(
            "Record-Route: <sip:UserB@north.example;maddr=ss1.north.example>",
            uri="sip:UserB@north.example",
            Via="SIP/2.0/UDP iftgw.south.example;rport",
            From="<sip:+13035551111@ift.client.south.example;user=phone>",
            Max_Forwards=None,
            Content_Length=None,
        ),
        STRANGER,
        "no branch, no tag, no Max-Forwards, no length: " + READ,
    ),
)
