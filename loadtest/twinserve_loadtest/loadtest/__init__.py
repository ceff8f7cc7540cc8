"""Load: blocks of requests sent by Locust, what is recorded of them, and the load test made of them."""
