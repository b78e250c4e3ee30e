"""What it costs, side by side with what it replaces. Each module is a command: `python -m benchmarks.generation`."""
