"""sippy's B2BUA, beside which our calls are measured. Runs in an environment of its own, until it is ended.

python sippy_b2bua.py OWN_IP OWN_PORT NEXT_IP NEXT_PORT
"""

from __future__ import annotations

import sys
from typing import Any

from sippy.b2bua_simple import CallMap
from sippy.Core.EventDispatcher import ED2
from sippy.SipConf import SipConf
from sippy.SipTransactionManager import SipTransactionManager


class _Silence:
    """What sippy wants as a log: writing one would be most of its work."""

    def write(self, *_arguments: object, **_options: object) -> None:
        """Write nothing."""


def main() -> None:
    """Connect each caller to the next hop."""
    own_ip, own_port, next_ip, next_port = sys.argv[1:]
    SipConf.allow_formats = (0, 8, 9, 101)
    config: dict[str, Any] = {
        "_sip_address": own_ip,
        "_sip_port": int(own_port),
        "_sip_logger": _Silence(),
        "nh_addr": (next_ip, int(next_port)),
    }
    config["_sip_tm"] = SipTransactionManager(config, CallMap(config).recvRequest)
    ED2.loop()


if __name__ == "__main__":
    main()
