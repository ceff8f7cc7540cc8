"""Clients that mean harm, over real connections: ``wire`` breaks HTTP/2, ``messages`` spoils what good calls say.

    python -m twinserve_bench.reliability.hostile --port P --kind hpack --seconds 10

They reach servers on this machine only.
"""
