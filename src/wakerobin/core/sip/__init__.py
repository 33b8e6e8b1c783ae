"""SIP without input or output: messages, transactions, forking, digest (RFC 3261 and its updates)."""
