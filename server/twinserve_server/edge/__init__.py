"""The edge profile: gateway, models and metrics in one process, for small machines. See decision 19."""
