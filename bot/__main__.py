"""`python -m bot`."""

import sys

import generator  # noqa: F401 - first: exits with one line when something is not installed
from bot.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
