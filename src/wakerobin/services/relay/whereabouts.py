"""Where the phone of a dialog is now: by its token, however often it has moved."""

from __future__ import annotations

from wakerobin.core.tokens import RouteToken, Side
from wakerobin.core.values import PhoneFlow
from wakerobin.ports.store import Store
from wakerobin.services.phones import Phones
from wakerobin.services.phones.routes import RecordRoutes


class Whereabouts:
    """Asks the registrar for phones; has no state."""

    def __init__(self, phones: Phones, routes: RecordRoutes, store: Store) -> None:
        self._phones = phones
        self._routes = routes
        self._store = store

    def phone(self, token: RouteToken, uri: str) -> PhoneFlow | None:
        """Return the phone of a dialog on its current flow.

        After a new enrolment it is known by its instance, and any phone by the Contact of the dialog.
        """
        phones = self._phones.flows(token.account)
        wanted = RouteToken(Side.PHONE, token.account, installation=token.installation, flow=token.flow)
        for phone in phones:
            if self._routes.token(phone) == wanted:
                return phone
        number = token.installation
        former = None if number is None else self._store.read(lambda tx: tx.registrations.get(number))
        for phone in phones:
            if phone.contact_uri == uri or (former is not None and phone.instance == former.sip_instance):
                return phone
        return None
