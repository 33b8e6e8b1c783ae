"""Kinds of MESSAGE: what is stored and pushed, what is stored in silence, what is worth nothing later."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.messages import Kind, content_type, kind_of
from wakerobin.core.sip.message import Message
from wakerobin.services.messages.encoding import MOST_OCTETS, decoded


def message(body: bytes, *headers: tuple[str, str]) -> Message:
    """A MESSAGE with a body."""
    return Message.request("MESSAGE", "sip:alice@pbx.test", list(headers), body)


def cpim(inner: bytes, *, line: bytes = b"\r\n") -> bytes:
    """Put something into an envelope (RFC 3862)."""
    head = b"From: <im:bob@pbx.test>" + line + b"imdn.Disposition-Notification: positive-delivery" + line
    return head + line + inner


@pytest.mark.parametrize(
    ("said", "body", "kind"),
    [
        ("text/plain;charset=utf-8", b"Hello", Kind.TEXT),
        ("", b"Hello", Kind.TEXT),
        ("application/x-unknown", b"\x00", Kind.TEXT),
        ("Application/IM-IsComposing+XML", b"<isComposing/>", Kind.COMPOSING),
        ("message/imdn+xml", b"<imdn/>", Kind.RECEIPT),
        ("message/cpim", cpim(b"Content-Type: text/plain\r\n\r\nHello"), Kind.TEXT),
        ("message/cpim", cpim(b"Content-type: message/imdn+xml; charset=utf-8\r\n\r\n<imdn/>"), Kind.RECEIPT),
        (
            "message/cpim",
            cpim(b"content-TYPE:application/im-iscomposing+xml\n\n<x/>", line=b"\n"),
            Kind.COMPOSING,
        ),
        ("message/cpim", b"Content-Type: message/imdn+xml\r\n\r\nnot a header of the content", Kind.TEXT),
        ("message/cpim", b"", Kind.TEXT),
    ],
)
def test_a_message_is_known_by_what_is_inside(said: str, body: bytes, kind: Kind) -> None:
    headers = [("Content-Type", said)] if said else []
    assert kind_of(message(body, *headers)) is kind


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    assert kind_of(message(body, ("Content-Type", "message/cpim"))) in Kind


def test_a_media_type_has_no_parameters_and_none_is_plain_text() -> None:
    assert content_type(message(b"x", ("Content-Type", "Text/HTML; charset=x"))) == "text/html"
    assert content_type(message(b"x")) == "text/plain"


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        ("", b"Hello", b"Hello"),
        ("identity", b"Hello", b"Hello"),
        ("deflate", zlib.compress(b"Hello"), b"Hello"),
        ("GZIP", gzip.compress(b"Hello", mtime=0), b"Hello"),
        ("deflate", b"Hello", None),
        ("deflate", zlib.compress(b"Hello")[:-3], None),
        ("deflate, gzip", zlib.compress(b"Hello"), None),
        ("br", b"Hello", None),
        ("deflate", zlib.compress(b"x" * (MOST_OCTETS + 1)), None),
        ("deflate", zlib.compress(b"x" * MOST_OCTETS), b"x" * MOST_OCTETS),
    ],
)
def test_a_compressed_body_is_read_and_never_swells_without_end(
    encoding: str, body: bytes, text: bytes | None
) -> None:
    headers = [("Content-Encoding", encoding)] if encoding else []
    assert decoded(message(body, *headers)) == text


@given(st.binary(max_size=200))
def test_no_octets_break_the_decoder(body: bytes) -> None:
    decoded(message(body, ("Content-Encoding", "deflate")))


def test_what_is_in_a_compressed_envelope_is_known() -> None:
    envelope = cpim(b"Content-Type: message/imdn+xml\r\n\r\n<imdn/>")
    packed = message(
        zlib.compress(envelope), ("Content-Type", "message/cpim"), ("Content-Encoding", "deflate")
    )
    assert kind_of(packed, decoded(packed)) is Kind.RECEIPT
    assert kind_of(packed) is Kind.TEXT
