"""Faults of the network between the SDK and a server: ``wire`` makes them, ``run`` asks through it and keeps count."""
