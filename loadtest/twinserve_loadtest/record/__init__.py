"""The data model of a measurement: runs, variants, latency, accuracy, provenance."""
