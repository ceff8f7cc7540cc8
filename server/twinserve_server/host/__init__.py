"""Cores, memory and CPU clocks as the kernel reports them."""
