"""Our header blocks, read by the decoder of hpack."""

from __future__ import annotations

from hpack import Decoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.push.connection.header_encoder import HeaderEncoder, _integer

FIELDS = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"api.push.apple.com"),
    (b":path", b"/3/device/ab"),
    (b"authorization", b"bearer " + b"x" * 230),
    (b"apns-id", b"c3a4f9d2"),
    (b"apns-topic", b"com.example.phone.voip"),
    (b"content-type", b"application/json"),
]

octets = st.binary(max_size=400)
names = st.binary(min_size=1, max_size=200)


def decoded(blocks: list[bytes]) -> list[list[tuple[bytes, bytes]]]:
    decoder = Decoder()
    return [[(name, value) for name, value in decoder.decode(block, raw=True)] for block in blocks]


@given(st.lists(st.lists(st.tuples(names, octets), max_size=12), max_size=4))
def test_what_is_encoded_is_what_is_decoded(requests: list[list[tuple[bytes, bytes]]]) -> None:
    encoder = HeaderEncoder()
    assert decoded([encoder.encode(fields) for fields in requests]) == requests


def test_the_headers_of_a_push_are_decoded_whole_however_often_they_come() -> None:
    encoder = HeaderEncoder()
    blocks = [encoder.encode(FIELDS) for _ in range(3)]
    assert decoded(blocks) == [FIELDS] * 3
    assert blocks[0][0] == 0x20  # the table is given up once, in the first block (RFC 7541 4.2)
    assert blocks[1] == blocks[2] == blocks[0][1:]


def test_secrets_are_never_indexed_by_anybody_on_the_way() -> None:
    fields = Decoder().decode(HeaderEncoder().encode(FIELDS), raw=True)
    hidden = {name for name, _ in filter(lambda one: isinstance(one, NeverIndexedHeaderTuple), fields)}
    assert hidden == {b":path", b"authorization", b"apns-id"}


def test_the_dynamic_table_stays_empty() -> None:
    """A peer that allows no table at all is served by the same blocks."""
    decoder = Decoder()
    decoder.max_allowed_table_size = 0
    encoder = HeaderEncoder()
    for _ in range(2):
        assert list(decoder.decode(encoder.encode(FIELDS), raw=True)) == FIELDS
    assert decoder.header_table_size == 0


def test_the_integers_of_the_rfc_are_written_as_it_writes_them() -> None:
    """RFC 7541, C.1."""
    assert _integer(10, 5, 0) == b"\x0a"
    assert _integer(1337, 5, 0) == bytes((0b11111, 0b10011010, 0b00001010))
    assert _integer(42, 8, 0) == b"\x2a"
