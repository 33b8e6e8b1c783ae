"""sippy's registration agent, beside which ours is measured. Runs in an environment of its own.

    python sippy_agent.py OWN_IP OWN_PORT PBX_IP PBX_PORT COUNT

Prints one line of JSON: how many accounts were registered, and the CPU seconds that it took.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from sippy.Core.EventDispatcher import ED2
from sippy.SipRegistrationAgent import SipRegistrationAgent
from sippy.SipTransactionManager import SipTransactionManager
from sippy.SipURL import SipURL

WINDOW = 100
PASSWORD = "pw"


class _Silence:
    """What sippy wants as a log: writing one would be most of its work."""

    def write(self, *_arguments: object, **_options: object) -> None:
        """Write nothing."""


class _Run:
    def __init__(self, own: tuple[str, int], pbx: tuple[str, int], count: int) -> None:
        self._own, self._pbx, self._count = own, pbx, count
        self._begun = self._ended = self._registered = 0
        self._agents: list[Any] = []
        self._config: dict[str, Any] = {
            "_sip_address": own[0],
            "_sip_port": own[1],
            "_sip_logger": _Silence(),
            "nh_addr": pbx,
        }
        self._config["_sip_tm"] = SipTransactionManager(self._config, lambda *_: (None, None, None))

    def go(self) -> dict[str, float]:
        cpu = time.process_time()
        for _ in range(min(WINDOW, self._count)):
            self._begin()
        ED2.loop()
        return {"registered": self._registered, "cpu_s": time.process_time() - cpu}

    def _begin(self) -> None:
        number = self._begun
        self._begun += 1
        user = f"u{number}"
        agent = SipRegistrationAgent(
            self._config,
            SipURL(username=user, host="pbx.test"),
            SipURL(username=user, host=self._own[0], port=self._own[1]),
            user,
            PASSWORD,
            exp=600,
            rok_cb=lambda *_: self._done(is_registered=True),
            rfail_cb=lambda *_: self._done(is_registered=False),
            target=(self._pbx, "udp"),
        )
        self._agents.append(agent)
        agent.doregister()

    def _done(self, *, is_registered: bool) -> None:
        self._ended += 1
        self._registered += is_registered
        if self._begun < self._count:
            self._begin()
        if self._ended == self._count:
            ED2.breakLoop()


if __name__ == "__main__":
    own_ip, own_port, pbx_ip, pbx_port, wanted = sys.argv[1:]
    told = _Run((own_ip, int(own_port)), (pbx_ip, int(pbx_port)), int(wanted)).go()
    print(json.dumps(told), flush=True)
