"""The two messages that reading and writing is measured with: a call's INVITE and a 200 to a REGISTER."""

from __future__ import annotations

_SDP = (
    "v=0\r\no=- 3979246012 3979246012 IN IP4 198.51.100.7\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
    "m=audio 18402 RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n"
    "a=maxptime:150\r\na=sendrecv\r\n"
)
INVITE = (
    "INVITE sip:9f1c22d07ab84e6d@push.example.net:5060 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 198.51.100.7:5060;rport;branch=z9hG4bKPj5a1c7e90-3b1d-4a6f-9a4e-1f2b7a3c4d5e\r\n"
    'From: "Reception" <sip:200@pbx.example.net>;tag=0b7d6f52-4a3c-4f1e\r\n'
    "To: <sip:9f1c22d07ab84e6d@push.example.net>\r\n"
    "Contact: <sip:asterisk@198.51.100.7:5060>\r\n"
    "Call-ID: 1d7f5f0e-7c56-4b39-9e3b-2f0a8a1f6f11\r\nCSeq: 22187 INVITE\r\n"
    "Allow: OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, REFER\r\n"
    "Supported: 100rel, timer, replaces, norefersub, histinfo\r\nSession-Expires: 1800\r\nMin-SE: 90\r\n"
    'P-Asserted-Identity: "Reception" <sip:200@pbx.example.net>\r\nMax-Forwards: 70\r\n'
    "User-Agent: Asterisk PBX\r\nContent-Type: application/sdp\r\n"
    f"Content-Length: {len(_SDP)}\r\n\r\n{_SDP}"
).encode()
OK = (
    b"SIP/2.0 200 OK\r\n"
    b"Via: SIP/2.0/UDP 203.0.113.9:5060;rport=5060;received=203.0.113.9;branch=z9hG4bK3f0a9c1e77d2\r\n"
    b"From: <sip:alice@pbx.example.net>;tag=a94a8fe5\r\nTo: <sip:alice@pbx.example.net>;tag=as5d0e7c\r\n"
    b"Call-ID: 5f2b9d31c0e84a7b\r\nCSeq: 17 REGISTER\r\n"
    b"Contact: <sip:9f1c22d07ab84e6d@203.0.113.9:5060;transport=udp>;expires=599\r\nExpires: 599\r\n"
    b"Server: Asterisk PBX\r\nContent-Length: 0\r\n\r\n"
)
