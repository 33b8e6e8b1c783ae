"""A softphone made with pjsua2, PJSIP's own API. It runs in an environment of its own, not in pytest's.

Commands come on stdin, one a line; what happens is told on stdout, one JSON object a line. No sound card:
it plays a tone to nobody.
"""
# ruff: noqa: N802  # pjsua2 calls methods of these names

from __future__ import annotations

import argparse
import json
import os
import re
import select
import sys
from collections.abc import Callable

# The environment of the tests does not have it.
import pjsua2 as pj  # type: ignore[import-not-found]

_TRANSPORTS = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}
_LEVEL = 3
"""Beyond it the library's log is of no use to who reads the report of a failed test."""
_TRACE = re.compile(r"\.(?P<way>[TR]X) \d+ bytes [^\n]*:\n(?P<text>.*)\n--end msg--", re.DOTALL)


def tell(event: str, **words: object) -> None:
    """Print one event."""
    sys.stdout.write(json.dumps({"event": event, **words}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


class Trace(pj.LogWriter):  # type: ignore[misc]  # all of pjsua2 is untyped
    """Tells every SIP message; prints of the rest what matters."""

    def write(self, entry: pj.LogEntry) -> None:
        """Take one entry of the library's log."""
        found = _TRACE.search(entry.msg.replace("\r\n", "\n"))
        if found:
            text = found["text"].replace("\n", "\r\n")
            tell("sip", sent=found["way"] == "TX", text=text)
        elif entry.level <= _LEVEL:
            sys.stdout.write(entry.msg)


class PhoneCall(pj.Call):  # type: ignore[misc]  # all of pjsua2 is untyped
    """One call, incoming or outgoing."""

    def __init__(self, phone: Phone, number: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(phone, number)
        self.phone = phone
        self.changing = ""

    def onCallState(self, _parameters: pj.OnCallStateParam) -> None:
        """Tell when the call is up and when it is over."""
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            tell("established")
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.phone.calls.remove(self)
            tell("ended", status=info.lastStatusCode, reason=info.lastReason)

    def onCallMediaState(self, _parameters: pj.OnCallMediaStateParam) -> None:
        """Play the tone once there are media; tell that a hold or its end has been accepted."""
        for media in self.getInfo().media:
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self.phone.tone.startTransmit(self.getAudioMedia(media.index))
        if self.changing:
            tell(self.changing)
            self.changing = ""

    def onCallTransferStatus(self, parameters: pj.OnCallTransferStatusParam) -> None:
        """Tell that who was sent elsewhere got there."""
        if parameters.statusCode // 100 == 2:
            tell("transferred")

    def onCallTransferRequest(self, parameters: pj.OnCallTransferRequestParam) -> None:
        """Tell that a REFER came; the library follows it by itself. (With a `newCall` it would crash.)"""
        tell("referred", to=parameters.dstUri)


class Phone(pj.Account):  # type: ignore[misc]  # all of pjsua2 is untyped
    """The account of the phone and its calls, the newest last."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[PhoneCall] = []
        self.tone = pj.ToneGenerator()
        self.tone.createToneGenerator(8000, 1)
        tone = pj.ToneDesc()
        tone.freq1, tone.on_msec, tone.off_msec = 440, 1000, 0
        self.tone.play(pj.ToneDescVector([tone]), True)

    def onRegState(self, parameters: pj.OnRegStateParam) -> None:
        """Tell whether the registrar took the account."""
        if parameters.code // 100 == 2:
            tell("registered")
        else:
            tell("refused", status=parameters.code, reason=parameters.reason)

    def onIncomingCall(self, parameters: pj.OnIncomingCallParam) -> None:
        """Ring."""
        call = PhoneCall(self, parameters.callId)
        self.calls.append(call)
        tell("incoming", peer=call.getInfo().remoteUri)
        call.answer(_parameters(180))

    def dial(self, uri: str) -> None:
        """Call someone."""
        call = PhoneCall(self)
        self.calls.append(call)
        call.makeCall(uri, pj.CallOpParam(True))

    def change(self, *, hold: bool) -> None:
        """Hold the call, or take it back."""
        call = self.calls[-1]
        call.changing = "held" if hold else "resumed"
        parameters = pj.CallOpParam(True)
        if hold:
            call.setHold(parameters)
        else:
            parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
            call.reinvite(parameters)

    def obey(self, line: str) -> None:
        """Do what a command says; tell what was wrong with it."""
        command, _, word = line.partition(" ")
        commands: dict[str, Callable[[], None]] = {
            "dial": lambda: self.dial(word),
            "answer": lambda: self.calls[-1].answer(_parameters(200)),
            "decline": lambda: self.calls[-1].hangup(_parameters(int(word))),
            "hangup": lambda: self.calls[-1].hangup(_parameters(0)),
            "hold": lambda: self.change(hold=True),
            "resume": lambda: self.change(hold=False),
            "join": lambda: self.calls[-2].xferReplaces(self.calls[-1], pj.CallOpParam(True)),
            "transfer": lambda: self.calls[-1].xfer(word, pj.CallOpParam(True)),
        }
        try:
            commands[command]()
        except (pj.Error, LookupError) as error:
            tell("error", command=command, text=str(error))


def _parameters(status: int) -> pj.CallOpParam:
    parameters = pj.CallOpParam()
    parameters.statusCode = status
    return parameters


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in (
        "user",
        "password",
        "domain",
        "proxy",
        "transport",
        "bind",
        "port",
        "rtp",
        "pn",
        "ca",
        "instance",
    ):
        parser.add_argument(f"--{name}", default="")
    return parser.parse_args()


def _endpoint(options: argparse.Namespace, trace: Trace) -> pj.Endpoint:
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    configuration = pj.EpConfig()
    # Everything happens in this thread, inside libHandleEvents.
    configuration.uaConfig.threadCnt = 0
    configuration.uaConfig.mainThreadOnly = True
    configuration.uaConfig.userAgent = "pjsua2"
    configuration.medConfig.clockRate = 8000
    configuration.logConfig.level = 5
    configuration.logConfig.consoleLevel = 5
    configuration.logConfig.msgLogging = True
    configuration.logConfig.writer = trace
    endpoint.libInit(configuration)
    transport = pj.TransportConfig()
    transport.port = int(options.port)
    transport.boundAddress = transport.publicAddress = options.bind
    if options.transport == "tls":
        transport.tlsConfig.verifyServer = True
        transport.tlsConfig.CaListFile = options.ca
        transport.tlsConfig.method = pj.PJSIP_TLSV1_2_METHOD
    endpoint.transportCreate(_TRANSPORTS[options.transport], transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    return endpoint


def _account(options: argparse.Namespace) -> pj.AccountConfig:
    account = pj.AccountConfig()
    account.idUri = f"sip:{options.user}@{options.domain}"
    account.regConfig.registrarUri = f"sip:{options.domain}"
    account.regConfig.timeoutSec = 300
    account.regConfig.contactUriParams = f";{options.pn}" if options.pn else ""
    account.sipConfig.proxies.append(f"sip:{options.proxy};transport={options.transport};lr")
    account.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", options.user, 0, options.password))
    account.natConfig.sipOutboundInstanceId = f"<urn:uuid:{options.instance}>"
    account.natConfig.contactRewriteUse = account.natConfig.viaRewriteUse = 0
    account.natConfig.sdpNatRewriteUse = 0
    # It would change the session right after the answer, to be left with one codec.
    account.mediaConfig.lockCodecEnabled = False
    media = account.mediaConfig.transportConfig
    media.boundAddress, media.port, media.portRange = options.bind, int(options.rtp), 20
    return account


def main() -> None:
    """Register, and do what stdin says until it ends."""
    options = _options()
    trace = Trace()  # kept: the library does not own it
    endpoint = _endpoint(options, trace)
    phone = Phone()
    phone.create(_account(options))
    os.set_blocking(0, False)
    text = b""
    while True:
        endpoint.libHandleEvents(10)
        if not select.select([0], [], [], 0)[0]:
            continue
        read = os.read(0, 4096)
        if not read:
            break
        *lines, text = (text + read).split(b"\n")
        for line in lines:
            phone.obey(line.decode())
    os._exit(0)  # its own way out takes seconds, and says good-bye to the registrar


if __name__ == "__main__":
    main()
