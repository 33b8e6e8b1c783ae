"""Real SIP and push programs that are not ours, run as peers of the server under test."""
