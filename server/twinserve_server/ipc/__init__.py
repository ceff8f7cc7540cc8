"""Messages between the server's own processes."""
