"""The server's settings, and the syntax of their values."""
