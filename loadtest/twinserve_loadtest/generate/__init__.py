"""Generates load: a bounded block of requests, run by Locust in a process of its own."""
