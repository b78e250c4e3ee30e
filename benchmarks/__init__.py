"""What it costs, side by side with what it replaces. Each module is a command: `python -m benchmarks.generation`."""

import generator  # noqa: F401 - first: exits with one line when something is not installed
