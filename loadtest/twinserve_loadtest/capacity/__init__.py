"""How many servers a load needs, from what a load test measured: ``twinserve capacity``."""
