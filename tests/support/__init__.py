"""What the tests of several packages share: a tiny model pair and real server processes."""

import os

#: As many tests run at once as there are cores: threads of one that wait, spinning, for each other hold up all of them.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
