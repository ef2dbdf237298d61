"""The measurements of a GPU, from the command line: see runner.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.gpu.runner import main

if __name__ == "__main__":
    sys.exit(main())
