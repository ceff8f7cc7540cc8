"""``twinserve top``: both variants of a running server side by side, live, from ``/metrics``."""
