"""From bytes to an RPC's final status: every method is counted, recorded, parsed and its errors mapped, once."""
