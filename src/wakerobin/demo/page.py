"""What the demo writes on: colours in a terminal, plain text in a pipe, a tick for each promise kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TextIO

WIDTH: Final = 100

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

    def __init__(self, stream: TextIO, *, is_coloured: bool) -> None:
        self.kept = 0
        """Promises that were kept."""
        self.broken: list[str] = []
        """Those that were not."""
        self._stream = stream
        self._is_coloured = is_coloured
        self._is_plain = not _takes_unicode(stream)

    @classmethod
    def on(cls, stream: TextIO, environ: Mapping[str, str]) -> Page:
        """Return a page that is coloured in a terminal, unless NO_COLOR (no-color.org) asks otherwise."""
        is_terminal = stream.isatty() and environ.get("TERM") != "dumb"
        return cls(stream, is_coloured=is_terminal and not environ.get("NO_COLOR"))

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
        self._stream.write(f"{text.rstrip()}\n")
        self._stream.flush()

    def heading(self, text: str, remark: str = "") -> None:
        """Write a heading with what has to be known to read on."""
        self.line()
        self.line(self.painted(text, "bold"))
        if remark:
            self.line(self.painted(remark, "dim"))
        self.line(self.painted("─" * WIDTH, "dim"))

    def promise(self, sentence: str, *, is_kept: bool, why: str = "") -> bool:
        """Write that a step happened, or in red that it did not and why."""
        if is_kept:
            self.kept += 1
            self.line(f"  {self.painted('✓', 'green')} {sentence}")
        else:
            self.broken.append(sentence)
            self.line(self.painted(f"  ✗ {sentence}" + (f": {why}" if why else ""), "red", "bold"))
        return is_kept


def _takes_unicode(stream: TextIO) -> bool:
    try:
        "─►✓█…".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
