"""What each RPC does: decode and validate, ask the engine, encode."""
