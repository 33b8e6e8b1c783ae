"""A picture of few colours that writes itself as PNG (ISO/IEC 15948), with nothing but zlib."""

from __future__ import annotations

import struct
import zlib

from wakerobin.simulation.glyphs import GLYPHS, HEIGHT, WIDTH

Colour = int
"""An index of the palette."""


class Canvas:
    """`palette`: red, green and blue of each colour; the first is the paper."""

    def __init__(self, width: int, height: int, palette: tuple[tuple[int, int, int], ...]) -> None:
        self.width = width
        self.height = height
        self._palette = palette
        self._rows = [bytearray(width) for _ in range(height)]

    def box(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """Fill a rectangle; what lies outside of the picture is left out."""
        left, right = max(0, left), min(self.width, left + width)
        for row in self._rows[max(0, top) : max(0, top + height)]:
            row[left:right] = bytes((colour,)) * max(0, right - left)

    def line(self, start: tuple[int, int], end: tuple[int, int], colour: Colour, width: int = 3) -> None:
        """Draw a straight line."""
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for step in range(steps + 1):
            x = start[0] + (end[0] - start[0]) * step // steps
            y = start[1] + (end[1] - start[1]) * step // steps
            self.box(x - width // 2, y - width // 2, width, width, colour)

    def text(self, left: int, top: int, words: str, colour: Colour, scale: int = 2) -> None:
        """Write words, their upper left corner at a point."""
        for position, letter in enumerate(words):
            x = left + position * (WIDTH + 1) * scale
            for column, dots in enumerate(GLYPHS.get(letter, bytes(WIDTH))):
                for row in range(HEIGHT):
                    if dots >> row & 1:
                        self.box(x + column * scale, top + row * scale, scale, scale, colour)

    def png(self) -> bytes:
        """Return the file."""
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        colours = b"".join(bytes(colour) for colour in self._palette)
        pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in self._rows), 9)
        chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", pixels), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def text_width(words: str, scale: int = 2) -> int:
    """Return how wide words are written."""
    return len(words) * (WIDTH + 1) * scale - scale


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
