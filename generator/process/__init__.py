"""The generator in a child process of its own: protocol, worker, and the parent's client.

What starts, watches or speaks to a child process enters here; what it computes does not.
"""
