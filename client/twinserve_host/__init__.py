"""What every package needs from the operating system; standard library only.

``cores``, ``memory``: how much of the machine may be used (``cgroups``: where the limits are). ``files``: atomic
writes. ``http``: HTTP that bypasses proxies for this machine.
"""
