"""A push service on the other core: `python -m bench.sink FOLDER IP PORT`.

It writes `options.json` into the folder when it listens, and `received.json` at each SIGUSR1:
when it had read each call push (monotonic seconds, the same clock as ours), and how many others came since.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from wakerobin.testing.pns import FakePns

_TOLD = ("key_file", "key_id", "team_id", "topic", "url", "ca_file")


async def _serve(folder: Path, ip: str, port: int) -> None:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
    async with FakePns(folder, host=ip, port=port) as pns:
        told = asdict(pns.options())
        _write(folder / "options.json", {name: told[name] for name in _TOLD})
        while True:
            await asked.wait()
            asked.clear()
            pushes, pns.pushes = pns.pushes, []
            calls = [
                (push.payload["wakerobin"]["sip_call_id"], push.at) for push in pushes if push.type == "call"
            ]
            accepted = sum(push.is_accepted for push in pushes)
            told = {"calls": calls, "others": len(pushes) - len(calls), "accepted": accepted}
            _write(folder / "received.json", told)


def _write(path: Path, value: object) -> None:
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(value))
    beside.replace(path)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
