"""`python -m diffkiln.export` is `diffkiln-export`."""

import sys

from .cli import main

sys.exit(main())
