"""Apple's ration of silent pushes: two an hour for a phone, whatever the number of its accounts [A]."""

from __future__ import annotations

from collections import OrderedDict, deque

_HOUR = 3600_000
_A_HOUR = 2


class SilentRation:
    """What each installation got in the last hour. In memory: a restart forgives two pushes at most."""

    def __init__(self) -> None:
        self._sent: OrderedDict[tuple[str, str], deque[int]] = OrderedDict()

    def wait(self, app: str, installation: str, now: int) -> int:
        """Return for how many milliseconds no silent push may go there; 0 for none."""
        recent = [at for at in self._sent.get((app, installation), ()) if at > now - _HOUR]
        return max(0, recent[-_A_HOUR] + _HOUR - now) if len(recent) >= _A_HOUR else 0

    def spend(self, app: str, installation: str, now: int) -> None:
        """Count one."""
        key = (app, installation)
        self._sent.setdefault(key, deque(maxlen=_A_HOUR)).append(now)
        self._sent.move_to_end(key)
        while next(iter(self._sent.values()))[-1] <= now - _HOUR:
            self._sent.popitem(last=False)

    def give_back(self, app: str, installation: str, at: int) -> None:
        """Take back one that was counted at that time and did not leave."""
        sent = self._sent.get((app, installation))
        if sent and at in sent:
            sent.remove(at)
            if not sent:
                del self._sent[app, installation]
