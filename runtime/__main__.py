"""`python -m diffkiln.runtime` is `diffkiln-sample`."""

import sys

from .command.sample import main

if __name__ == "__main__":
    sys.exit(main())
