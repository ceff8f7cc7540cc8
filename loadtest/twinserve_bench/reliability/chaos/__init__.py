"""Seeded faults against a server under load, and the ledger of what its callers saw.

    python -m twinserve_bench.reliability.chaos --models models --seed 7 --faults 12 --transport fast

``schedule`` says what happens, from a seed; ``victim`` is the server, ``faults`` does it to it; ``callers`` ask through
the SDK meanwhile and keep the ``ledger``; ``run`` puts them together and compares the ledger with ``/metrics``.
"""
