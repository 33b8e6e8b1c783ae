"""The pure core: values, SIP and the machines. No sockets, no clock, no randomness."""
