"""What the server promises when things go wrong, measured: ``make bench-reliability``."""
