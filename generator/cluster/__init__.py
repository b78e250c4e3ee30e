"""The generator as a Ray Serve deployment: each replica runs one `generator.serving` worker.

What deploys to a cluster, or connects a bot to one, enters here. Ray is imported nowhere else.
"""
