"""Who may come in: a file of hashed bearer tokens with roles, and the guard that checks what a caller shows."""
