"""What each RPC does: decode and validate, call the engine, encode."""
