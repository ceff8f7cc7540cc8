"""Every metric family, the shared memory that workers write them to, and the exposition."""
