"""What every package needs of the operating system, from the standard library alone.

``cores``, ``memory``: how much of the machine there is to use (``cgroups``: where the limits stand). ``files``: files
written whole or not at all. ``http``: HTTP that no proxy sees on its way to this machine.
"""
