"""A registering client in a few lines, to see what a PBX says. It shares no code with the server."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import socket
import time

from tests.interop.peers.wire import Message


class Probe:
    """Registers one user by UDP from a socket of its own, digest MD5 or SHA-256."""

    def __init__(
        self, ip: str, pbx: tuple[str, int], user: str, password: str, *, login: str = "", contact: str = ""
    ) -> None:
        self.user, self._password, self._pbx = user, password, pbx
        self._login = login or user
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((ip, 0))
        self.me = f"{ip}:{self._socket.getsockname()[1]}"
        self.contact = contact or f"sip:{user}@{self.me}"
        self._call_id, self._tag = secrets.token_hex(8), secrets.token_hex(4)
        self._cseq = 0

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    async def register(
        self,
        *,
        expires: int = 600,
        domain: str = "pbx.test",
        authorization: str = "",
        within: float = 2,
    ) -> Message:
        """Send one REGISTER, once, and return its final answer; TimeoutError if none comes."""
        self._cseq += 1
        credentials = f"Authorization: {authorization}\r\n" if authorization else ""
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        request = (
            f"REGISTER sip:{domain} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.me};branch={branch};rport\r\n"
            f"From: <sip:{self.user}@{domain}>;tag={self._tag}\r\n"
            f"To: <sip:{self.user}@{domain}>\r\n"
            f"Call-ID: {self._call_id}\r\nCSeq: {self._cseq} REGISTER\r\nMax-Forwards: 70\r\n"
            f"Contact: <{self.contact}>\r\nExpires: {expires}\r\n"
            f"{credentials}Content-Length: 0\r\n\r\n"
        )
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(within):
            await loop.sock_sendto(self._socket, request.encode(), self._pbx)
            while True:
                text = (await loop.sock_recv(self._socket, 65_535)).decode()
                answer = Message(time.time(), sent=False, text=text)
                if branch in text and answer.status != 100:
                    return answer

    async def authenticated(self, *, expires: int = 600) -> tuple[Message, str]:
        """Register with an answer to the challenge: the final answer, and the credentials used."""
        challenged = await self.register(expires=expires)
        assert challenged.status == 401, challenged.text
        credentials = self.credentials(challenged.headers("WWW-Authenticate")[-1])
        return await self.register(expires=expires, authorization=credentials), credentials

    def credentials(self, challenge: str, *, domain: str = "pbx.test") -> str:
        """The Authorization value for a challenge (RFC 2617 or RFC 7616, qop auth or none)."""
        found = re.findall(r'(\w+)=("[^"]*"|[^,\s]+)', challenge)
        given = {name.lower(): value.strip('"') for name, value in found}
        algorithm = given.get("algorithm", "MD5")
        digest = hashlib.sha256 if algorithm == "SHA-256" else hashlib.md5

        def h(*parts: str) -> str:
            return digest(":".join(parts).encode()).hexdigest()

        ha1 = h(self._login, given["realm"], self._password)
        ha2 = h("REGISTER", f"sip:{domain}")
        fields = [f'Digest username="{self._login}"', f'realm="{given["realm"]}"']
        fields += [f'nonce="{given["nonce"]}"', f'uri="sip:{domain}"', f"algorithm={algorithm}"]
        if "qop" in given:
            cnonce = secrets.token_hex(8)
            response = h(ha1, given["nonce"], "00000001", cnonce, "auth", ha2)
            fields += ["qop=auth", "nc=00000001", f'cnonce="{cnonce}"']
        else:
            response = h(ha1, given["nonce"], ha2)
        return ", ".join([*fields, f'response="{response}"'])
