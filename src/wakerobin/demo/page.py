"""What the demo writes on: colours in a terminal, plain text in a pipe, a tick for each promise kept."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from typing import Final, TextIO

WIDEST: Final = 100
NARROWEST: Final = 78

_COLOURS: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}
_PLAINER: Final = str.maketrans(
    {
        "─": "-",
        "│": "|",
        "┬": "+",
        "┴": "+",
        "►": ">",
        "◄": "<",
        "●": "*",
        "✓": "+",
        "✗": "x",
        "█": "#",
        "░": ".",
        "…": "...",
        "–": "-",
        "·": "-",
    }
)
"""For terminals that show ASCII only."""


class Page:
    """Writes lines, and remembers which of the promised steps happened."""

    def __init__(self, stream: TextIO, *, is_coloured: bool, width: int = WIDEST) -> None:
        self.kept = 0
        """Promises that were kept."""
        self.broken: list[str] = []
        """Those that were not."""
        self.width = min(WIDEST, max(NARROWEST, width))
        """Of a line, in characters."""
        self.is_unread = False
        """Whoever read it has gone."""
        self._stream = stream
        self._is_coloured = is_coloured
        self._is_plain = not _takes_unicode(stream)

    @classmethod
    def on(cls, stream: TextIO, environ: Mapping[str, str]) -> Page:
        """Return a page that is coloured in a terminal, unless NO_COLOR (no-color.org) asks otherwise."""
        is_terminal = stream.isatty() and environ.get("TERM") != "dumb"
        is_coloured = is_terminal and not environ.get("NO_COLOR")
        return cls(stream, is_coloured=is_coloured, width=_columns(stream) - 1)

    def painted(self, text: str, *colours: str) -> str:
        """Return a text in colours, or as it is."""
        if not self._is_coloured or not colours or not text:
            return text
        codes = ";".join(_COLOURS[colour] for colour in colours)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """Write a line, at once."""
        if self._is_plain:
            text = text.translate(_PLAINER).encode("ascii", "replace").decode("ascii")
        if self.is_unread:
            return
        try:
            self._stream.write(f"{text.rstrip()}\n")
            self._stream.flush()
        except BrokenPipeError:
            self.is_unread = True

    def heading(self, text: str, remark: str = "") -> None:
        """Write a heading with what has to be known to read on."""
        self.line()
        self.line(self.painted(text, "bold"))
        for part in self.wrapped(remark, 0):
            self.line(self.painted(part, "dim"))
        self.line(self.painted("─" * self.width, "dim"))

    def promise(self, sentence: str, *, is_kept: bool, why: str = "") -> bool:
        """Write that a step happened, or in red that it did not and why."""
        if is_kept:
            self.kept += 1
            sign, colours = self.painted("✓", "green"), tuple[str, ...]()
        else:
            self.broken.append(sentence)
            sign, colours = self.painted("✗", "red", "bold"), ("red", "bold")
            sentence += f": {why}" if why else ""
        for number, part in enumerate(self.wrapped(sentence, 4)):
            self.line(f"  {' ' if number else sign} {self.painted(part, *colours)}")
        return is_kept

    def wrapped(self, text: str, indent: int) -> list[str]:
        """Return a text in pieces that fit into a line behind an indent."""
        return textwrap.wrap(text, self.width - indent) or [""]


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDEST + 1
    except (OSError, ValueError):  # a pipe, or no file at all
        return WIDEST + 1


def _takes_unicode(stream: TextIO) -> bool:
    try:
        "─►✓█…".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
