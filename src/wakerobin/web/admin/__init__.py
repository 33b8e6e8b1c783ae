"""The operator's view: push registrations and calls, read and ended."""
