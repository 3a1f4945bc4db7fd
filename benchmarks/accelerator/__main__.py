"""`python -m benchmarks.accelerator`, as `python -m benchmarks accelerator`."""

import sys

from benchmarks.accelerator import main

sys.exit(main(sys.argv[1:]))
