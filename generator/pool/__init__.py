"""Texts from a pool on Ray Serve: each replica is a `generator.worker.Worker`; Serve places, scales, restarts, routes.

deploy    puts the application onto a cluster, or other weights into it       (imports Ray)
replica   what Serve runs: one worker, and how requests reach it
source    weights from a folder or an `fsspec` URL
link      a process beside the bot that speaks to the cluster                 (imports Ray)
client    what the bot has in place of `Generator`
"""
