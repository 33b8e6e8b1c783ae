"""The cells of the matrix, as data: what is tried, and what is known not to work and why."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

BROWSERS = ("JsSIP", "SIP.js")
PHONES = ("baresip", "linphone", "pjsua2")
CLIENTS = (*PHONES, *BROWSERS)
PBXS = ("Kamailio", "Asterisk")

NO_SHA256 = "knows MD5 only"


@dataclass(frozen=True, slots=True)
class Cell:
    """One client at one PBX: the transport of the phone to us, of us to the PBX, and the PBX's digest."""

    client: str
    pbx: str
    phone: str
    trunk: str
    digest: str = "MD5"
    limit: str = ""
    """Why the client cannot do it; empty: it can."""

    @property
    def user(self) -> str:
        """The account of the phone, a name that no other cell has."""
        client = self.client.replace(".", "").lower()
        return f"{client}-{self.phone}-{self.trunk}-{self.digest.lower()}"

    @property
    def caller(self) -> str:
        """The account of who calls it."""
        return f"caller-of-{self.user}"

    @property
    def called_by(self) -> str:
        """The client and the transport of who calls it; web phones want an offer that they understand."""
        if self.digest == "SHA-256":
            return "pjsua2, UDP"
        if self.client in BROWSERS and self.pbx == "Kamailio":
            return "JsSIP, WS"
        return f"baresip, {self.trunk.upper()}"

    @property
    def hangs_up(self) -> str:
        """Who ends the call: the phone in one half of the cells, the caller in the other."""
        return "phone" if self.trunk in ("udp", "tls") else "caller"

    def __str__(self) -> str:
        return f"{self.client}-{self.pbx}-{self.phone}-{self.trunk}-{self.digest}".lower()


def _every(pbx: str) -> list[Cell]:
    """Every client at a PBX, with each of its transports before us and each of ours behind us."""
    trunks = ("udp", "tcp", "tls")
    phones = [Cell(*found) for found in product(PHONES, (pbx,), ("udp", "tcp", "tls"), trunks)]
    browsers = [Cell(*found) for found in product(BROWSERS, (pbx,), ("wss",), trunks)]
    return [*phones, *browsers, *(Cell(client, pbx, "ws", "udp") for client in BROWSERS)]


AT_KAMAILIO = (
    *_every("Kamailio"),
    Cell("baresip", "Kamailio", "udp", "udp", "SHA-256", limit=NO_SHA256),
    Cell("linphone", "Kamailio", "udp", "udp", "SHA-256"),
    Cell("linphone", "Kamailio", "tcp", "udp", "SHA-256"),
    Cell("linphone", "Kamailio", "tls", "tcp", "SHA-256"),
    Cell("pjsua2", "Kamailio", "udp", "udp", "SHA-256"),
    Cell("pjsua2", "Kamailio", "tcp", "udp", "SHA-256"),
    Cell("pjsua2", "Kamailio", "tls", "tcp", "SHA-256"),
    Cell("JsSIP", "Kamailio", "wss", "udp", "SHA-256", limit=NO_SHA256),
    Cell("SIP.js", "Kamailio", "wss", "udp", "SHA-256", limit=NO_SHA256),
)
# Asterisk 16 asks for MD5 only.
AT_ASTERISK = tuple(_every("Asterisk"))
CELLS = AT_KAMAILIO + AT_ASTERISK


@dataclass(frozen=True, slots=True)
class Transfer:
    """A woken phone and who called it: one sends the other to a third phone, by REFER."""

    client: str
    pbx: str
    by_phone: bool
    """The woken phone sends its caller there; else it is sent there."""
    attended: bool = False
    """It first talks to the third, which then takes the new call for that one (RFC 3891); if it is the woken
    phone that stays, it is the third."""

    @property
    def cell(self) -> Cell:
        """The woken phone and its caller, with accounts of their own."""
        return Cell(self.client, self.pbx, "wss" if self.client in BROWSERS else "tcp", "udp")

    @property
    def called_by(self) -> str:
        """The client and the transport of the others, who have to know Replaces in an attended transfer."""
        others = self.cell.called_by
        return "pjsua2, UDP" if self.attended and others.startswith("baresip") else others

    @property
    def user(self) -> str:
        """The account of the woken phone."""
        client = self.client.replace(".", "").lower()
        if self.attended:
            return f"{client}-{'joins' if self.by_phone else 'is-joined'}"
        return f"{client}-{'sends' if self.by_phone else 'is-sent'}"

    @property
    def third(self) -> str:
        """The account of the phone to which a party is sent."""
        return f"third-of-{self.user}"

    def __str__(self) -> str:
        return f"{self.user}-{self.pbx}".lower()


TRANSFERS_AT_KAMAILIO = tuple(
    Transfer(client, "Kamailio", by_phone) for client in CLIENTS for by_phone in (True, False)
)
# Asterisk takes a REFER for itself, and the other party sees no more of it than a new voice.
TRANSFERS_AT_ASTERISK = tuple(Transfer(client, "Asterisk", by_phone=True) for client in CLIENTS)
# baresip 1.0 knows no Replaces; Asterisk would connect the two itself.
ATTENDED = tuple(
    Transfer(client, "Kamailio", by_phone, attended=True)
    for client in ("linphone", "pjsua2", "JsSIP")
    for by_phone in (True, False)
)
TRANSFERS = TRANSFERS_AT_KAMAILIO + TRANSFERS_AT_ASTERISK + ATTENDED
