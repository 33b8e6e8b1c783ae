"""The SIP front door: transactions over the endpoint, and who gets which request."""
