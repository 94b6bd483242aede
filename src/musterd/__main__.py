"""``python -m musterd``: the command line."""

import sys

from musterd.cli import main

sys.exit(main())
