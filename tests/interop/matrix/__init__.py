"""The matrix of docs/interop.md: woken clients, PBXs and the transports on both sides."""
