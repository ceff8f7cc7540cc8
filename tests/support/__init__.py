"""What the tests of several packages share: a tiny model pair and real server processes."""
