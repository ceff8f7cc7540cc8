"""The server under test: starting one, describing it, reading its metrics and its CPU clock."""
