"""The command line: one function per command, and the exit codes.

Nothing but argument parsing, `check`, and calls into the other packages enters here; nothing imports it.
"""
