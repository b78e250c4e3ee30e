"""The process behind `python -m bot run`: opens and closes everything, supervises, reloads, reports health and metrics.

Life cycle and observability enter here. What a command means does not.
"""
