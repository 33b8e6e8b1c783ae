"""The network: SIP sockets, the timer wheel, the system's clocks, names to addresses."""
