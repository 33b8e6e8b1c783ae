"""The one strict look at a stranger's message, so that nobody behind the edge has to look again."""

from __future__ import annotations

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.header import wire_name
from wakerobin.core.sip.message.message import Message
from wakerobin.core.sip.uri import SipUri

MAX_HEAD = 16_384
MAX_BODY = 49_152
MAX_LINES = 200
MAX_URI = 2_048
_ONLY_ONCE = ("from", "to", "call-id", "cseq", "max-forwards")


def check(message: Message) -> None:
    """Look at everything once that the rest of the program relies on.

    To be called for each message that comes from outside, before anything acts on it. Raises
    SipSyntaxError with the status to answer a request with; a bad response is dropped. Peers of
    RFC 2543, without a branch, a From tag or Max-Forwards, pass.
    """
    _check_size(message)
    if not message.is_each_once:
        for name in _ONLY_ONCE:
            if message.count(name) > 1:
                raise SipSyntaxError(f"{wire_name(name)} is given twice")
    branch = message.branch
    message.check_parties()
    _ = message.call_id, message.cseq, message.max_forwards
    if branch == "z9hG4bK":
        raise SipSyntaxError("The branch in Via names nothing")
    if message.is_request:
        _check_request(message)
    elif branch is None:
        raise SipSyntaxError("The response's Via has no branch: no request of ours lacked one")


def _check_size(message: Message) -> None:
    if len(message.uri) > MAX_URI:
        raise SipSyntaxError(f"The Request-URI is longer than {MAX_URI} characters", 414)
    if len(message.body) > MAX_BODY:
        raise SipSyntaxError(f"The body is longer than {MAX_BODY} bytes", 413)
    if message.line_count > MAX_LINES:
        raise SipSyntaxError(f"There are more than {MAX_LINES} header lines", 513)
    if message.head_size > MAX_HEAD:
        raise SipSyntaxError(f"The headers are longer than {MAX_HEAD} characters", 513)


def _check_request(message: Message) -> None:
    if message.cseq.method != message.method:
        raise SipSyntaxError("CSeq names another method than the request line")
    if SipUri.parse(message.uri).headers:
        raise SipSyntaxError("A Request-URI must not hold headers")  # 19.1.1, table 1
