"""What the server does with the core, the network, the push services and the store."""
