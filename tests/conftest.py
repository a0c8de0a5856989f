import os

# Tests share the machine with each other; one thread each is faster than two that wait for one
# another, and results do not depend on what else runs.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import faults  # noqa: F401  # loads the fault library into every process started from here
