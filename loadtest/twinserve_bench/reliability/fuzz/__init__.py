"""Mutated messages and files against everything that reads what strangers wrote.

``mutator`` makes them from good ones, ``readers`` are what reads them.
"""
