"""SIP messages: read (`parse`), looked at once (`check`), edited and written, answered."""

from wakerobin.core.sip.message.answering import respond
from wakerobin.core.sip.message.edge import check
from wakerobin.core.sip.message.message import Message
from wakerobin.core.sip.message.reading import MalformedMessageError, parse
from wakerobin.core.sip.message.reasons import REASONS

__all__ = ["REASONS", "MalformedMessageError", "Message", "check", "parse", "respond"]
