"""Loopback chat platforms and clocks: what tests and benchmarks use in place of the real ones.

Nothing here knows the bot; `bot` and `generator` never import it, and it is not part of the installed package.
"""
