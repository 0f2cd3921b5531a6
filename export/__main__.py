"""`python -m diffkiln.export` is `diffkiln-export`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
