"""What a server can be told, and the syntax of the values."""
