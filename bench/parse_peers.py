"""Other libraries that read and write SIP messages, beside ours. Runs in an environment of its own.

    python parse_peers.py FOLDER SECONDS

FOLDER has the messages as files. Prints one line of JSON: by library and file, messages a second.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sipmessage import Message
from sippy.SipRequest import SipRequest
from sippy.SipResponse import SipResponse

_TURN = 200


def _sipmessage(data: bytes) -> bytes:
    message = Message.parse(data)
    _ = message.via, message.from_address, message.to_address, message.cseq, message.contact
    return bytes(message)


def _sippy(data: bytes) -> bytes:
    kind = SipResponse if data.startswith(b"SIP/") else SipRequest
    message = kind(data.decode())
    for name in ("via", "from", "to", "cseq", "contact"):
        message.getHFBody(name)
    return str(message).encode()


def _rate(work: Callable[[bytes], bytes], data: bytes, seconds: float) -> float:
    """Return messages per CPU second, the best of the turns: what disturbs only makes it slower."""
    best, until = 0.0, time.process_time() + seconds
    while time.process_time() < until:
        began = time.process_time()
        for _ in range(_TURN):
            work(data)
        best = max(best, _TURN / (time.process_time() - began))
    return best


def main() -> None:
    """Measure all."""
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    told = {
        name: {path.name: _rate(work, path.read_bytes(), seconds) for path in sorted(folder.iterdir())}
        for name, work in (("sippy", _sippy), ("sipmessage", _sipmessage))
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
