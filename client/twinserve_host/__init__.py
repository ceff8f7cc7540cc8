"""What every package needs of the operating system, from the standard library alone.

``cores``: how many cores there are to use. ``files``: files written whole or not at all. ``http``: HTTP that no proxy
sees on its way to this machine.
"""
