"""A search from its request to its winner; a training likewise."""
