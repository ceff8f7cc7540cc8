"""Benchmarks of twinserve itself, for its developers; not in the wheel.

- ``run`` (``make bench``): the server against its bounds. ``h2load``, ``http2_load`` and ``health_probe`` are the load,
  ``processes`` the servers, ``noop_server`` and ``bare_model`` the bounds, ``where_time_goes`` a profile by the folders
  of the server, ``table`` the figures.
- ``two_servers``: the capacity model's prediction for two servers against two servers.
- ``peers.run`` (``make bench-peers``): beside other systems.
- ``calibration`` (``make calibrate``): does ``twinserve compare`` keep its promises, on a machine that does not exist
  (``simulation``) or live, with variants of known faults (``plant``).
"""
