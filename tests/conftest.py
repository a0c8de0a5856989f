import os

# Tests share the machine with each other; one thread each is faster than two that wait for one
# another, and results do not depend on what else runs.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# cuBLAS reads it once in a process, whichever test comes first.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import faults  # noqa: F401  # loads the fault library into every process started from here
