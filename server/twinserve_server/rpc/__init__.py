"""From bytes to an RPC's final status: counting, recording, parsing and error mapping, in one place for all methods."""
