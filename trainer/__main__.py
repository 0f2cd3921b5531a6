"""`python -m diffkiln.trainer` is `diffkiln-train`."""

import sys

from .cli import main

sys.exit(main())
