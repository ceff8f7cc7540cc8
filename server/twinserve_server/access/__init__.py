"""Access control: a file of hashed bearer tokens with roles, and the guard that checks callers' tokens."""
