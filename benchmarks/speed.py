"""Speed measurements of benchmarks/tools/speed, run by `python -m benchmarks.speed`."""

import sys

from benchmarks.tools.speed.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
