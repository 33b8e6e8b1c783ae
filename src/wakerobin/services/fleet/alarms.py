"""What operators have to know of their PBXs: as alarms, in words, until it is mended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wakerobin.core.binding import FULL_CODE, ONE_CONTACT_CODE
from wakerobin.core.values import Account
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.store import Transaction
from wakerobin.services.fleet.surroundings import Surroundings

ONE_CONTACT = "one-contact:"
CALL_SOURCE = "call-source:"

_PAGE = 400
_MOST_ADDRESSES = 8
_MOST_REGISTRARS = 1_000
_NO_ROOM = frozenset({ONE_CONTACT_CODE, FULL_CODE})


class PbxAlarms:
    """Driven by what the fleet notices. Counts accounts and names none."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._crowded: dict[str, set[int]] = {}
        self._strangers: dict[str, list[str]] = {}

    async def start(self, registrar_of: Callable[[int], str]) -> None:
        """Take up what stands. Whose calls come from elsewhere shows again with the next of them."""
        standing = self._around.store.read(lambda tx: tx.alarms.all())
        if any(one.name.startswith(ONE_CONTACT) for one in standing):
            for account_id in self._crowded_accounts():
                self._crowded.setdefault(registrar_of(account_id), set()).add(account_id)
        gone = [one.name for one in standing if one.name.startswith((ONE_CONTACT, CALL_SOURCE))]
        kept = {ONE_CONTACT + registrar for registrar in self._crowded}
        for name in gone:
            if name not in kept:
                await self._clear(name)

    def crowded(self, registrar: str, account_id: int) -> None:
        """A PBX has no room for our Contact beside another one of an account."""
        accounts = self._crowded.setdefault(registrar, set())
        if account_id not in accounts:
            accounts.add(account_id)
            self._around.start(self._put(ONE_CONTACT + registrar, _no_room(registrar, len(accounts))))

    def has_room(self, registrar: str, account_id: int) -> None:
        """An account is bound beside other devices, or is not kept bound any more."""
        accounts = self._crowded.get(registrar)
        if accounts is None or account_id not in accounts:
            return
        accounts.discard(account_id)
        if accounts:
            self._around.start(self._put(ONE_CONTACT + registrar, _no_room(registrar, len(accounts))))
        else:
            del self._crowded[registrar]
            self._around.start(self._clear(ONE_CONTACT + registrar))

    def stranger(self, registrar: str, address: str, *, is_refused: bool) -> None:
        """A call for an account of a PBX came from an address that is not known to be that PBX's."""
        addresses = self._strangers.setdefault(registrar, [])
        if address in addresses or len(addresses) >= _MOST_ADDRESSES:
            return
        addresses.append(address)
        if len(self._strangers) > _MOST_REGISTRARS:
            del self._strangers[next(iter(self._strangers))]
        words = _from_elsewhere(registrar, addresses, is_refused=is_refused)
        self._around.start(self._put(CALL_SOURCE + registrar, words))

    def _crowded_accounts(self) -> list[int]:
        found: list[int] = []
        after = 0
        while page := self._around.store.read(partial(_accounts, after)):
            found += [one.id for one in page if one.proven and one.reason_code in _NO_ROOM]
            after = page[-1].id
        return found

    async def _put(self, name: str, words: str) -> None:
        alarm = Alarm(name, self._around.clock.now(), words)

        def work(tx: Transaction) -> None:
            tx.alarms.put(alarm)

        await self._around.store.transact(work)

    async def _clear(self, name: str) -> None:
        await self._around.store.transact(lambda tx: tx.alarms.clear(name))


def _accounts(after: int, tx: Transaction) -> list[Account]:
    return tx.accounts.page(after, _PAGE)


def _no_room(registrar: str, accounts: int) -> str:
    whose = "an account" if accounts == 1 else f"{accounts} accounts"
    return (
        f"{registrar} has no room for this server beside another device of {whose}: each forgets the other, "
        "or one is refused, and calls are lost. Raise its limit of devices for an extension to 5 (FreePBX: "
        "Max Contacts; Asterisk: max_contacts; Kamailio: max_contacts)."
    )


def _from_elsewhere(registrar: str, addresses: list[str], *, is_refused: bool) -> str:
    listed = ", ".join(f'"{address}"' for address in addresses)
    became = "are refused" if is_refused else "are accepted for now"
    return (
        f"Calls for accounts at {registrar} come from {' and '.join(addresses)}, which its name does not "
        f"resolve to; they {became}. If that is your PBX or provider, write call_sources = [{listed}] into "
        '[sip], with call_sources_policy = "strict" as soon as nothing else is shown here. If it is not, '
        "somebody has learnt of a Contact: strict keeps them out."
    )
