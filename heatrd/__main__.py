"""``python -m heatrd`` is the command line."""

import sys

from heatrd.cli import main

if __name__ == "__main__":
    sys.exit(main())
