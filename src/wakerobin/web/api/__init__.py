"""`/v1/push-registrations`: the API of the apps."""
