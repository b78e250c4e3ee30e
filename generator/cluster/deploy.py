"""Deploys the pool to a Ray cluster. Deploying again changes its weights or its number of replicas.

Serve rolls other weights out replica by replica, and stops when one refuses them.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Final

import ray
from ray import serve

from generator.cluster import application
from generator.cluster.replica import DRAIN_SECONDS, QUEUE, Replica, find_version, preflight
from generator.errors import Unavailable, WeightsError
from generator.serving.scheduler import MAX_BATCH_SIZE
from generator.weights.versions import NIETZSCHE

MAX_QUEUED: Final = 160
"""Requests that wait with each bot while all replicas are full; beyond that Serve refuses."""
TARGET_CONCURRENCY: Final = MAX_BATCH_SIZE // 2
"""Texts in each replica at which autoscaling aims: half full."""
CONNECT_SECONDS: Final = 5.0
"""How long a machine of the cluster may take to accept a connection."""
HEALTH_SECONDS: Final = 2.0
"""How often Serve checks each replica."""
HEALTH_TIMEOUT_SECONDS: Final = 5.0
"""How long a check may take. A replica that fails three in a row is replaced: by Serve's own timeout of 30 s, one whose
process hangs would take texts for a minute and a half."""
log = logging.getLogger(__name__)


def connect(address: str, *, or_start: bool = False) -> bool:
    """Connects to the cluster: "auto" finds one that runs on this machine, or the variable `RAY_ADDRESS` names it.

    `or_start`: starts one on this machine when "auto" finds none and the variable names none, which lasts as long as
    this process; returns whether it did. Raises `Unavailable`.
    """
    settings = {"log_to_driver": False, "logging_level": logging.ERROR}
    named = (os.environ.get("RAY_ADDRESS") or address) if address == "auto" else address
    host, _, port = named.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdecimal() and int(port) < 2**16:  # where nothing listens, Ray would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        ray.init(address=named, **settings)
    except (OSError, RuntimeError, ValueError) as error:
        if not (or_start and named == "auto" and isinstance(error, ConnectionError)):
            raise Unavailable(f"no Ray cluster at {named}: {str(error).splitlines()[0]}") from error
        ray.init(include_dashboard=False, **settings)
        return True
    return False


def deploy(
    weights: str, version: str | None, replicas: int, most: int | None, threads: int, *, voice: str = NIETZSCHE
) -> str:
    """Deploys a voice to the cluster that this process is connected to, waits until it is done; returns the version.

    `weights` and `version`: as `find_version` takes them, where every node reaches them; `replicas` of `threads`
    threads each, up to `most` of them under load. The version is loaded and tested on the cluster first. Raises
    `WeightsError` when that or the roll-out fails.
    """
    weights, version = find_version(weights, version)
    if trouble := ray.get(ray.remote(preflight).options(num_cpus=0).remote(weights, version)):
        raise WeightsError(f"{trouble}; nothing was changed")
    scaling = {"min_replicas": replicas, "max_replicas": most, "target_ongoing_requests": TARGET_CONCURRENCY}
    deployment = serve.deployment(
        Replica,
        ray_actor_options={"num_cpus": threads},
        user_config={"weights": weights, "version": version},
        max_ongoing_requests=MAX_BATCH_SIZE + QUEUE,
        max_queued_requests=MAX_QUEUED,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_period_s=HEALTH_SECONDS,
        health_check_timeout_s=HEALTH_TIMEOUT_SECONDS,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        **({"num_replicas": replicas} if most is None else {"autoscaling_config": scaling}),
    )
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(proxy_location="Disabled")  # bots come through handles; nothing listens for HTTP
    account = serve.status().applications.get(application(voice))
    running = account.deployments[Replica.__name__].replica_states.get("RUNNING", 0) if account else 0
    free, wanted = ray.available_resources().get("CPU", 0.0) + threads * running, replicas * threads
    if wanted > free:
        log.warning("cores needed: %d, free: %g; waiting for more", wanted, free)
    try:
        serve.run(deployment.bind(threads), name=application(voice), route_prefix=None)
    except RuntimeError as error:
        raise WeightsError(f"{version}: the roll-out stopped: {_why(voice) or error}") from error
    return version


def _why(voice: str) -> str:
    """What a replica said that did not take the weights, from the traceback in Serve's account."""
    account: str = serve.status().applications[application(voice)].deployments[Replica.__name__].message
    told = [line.partition("WeightsError: ")[2] for line in account.splitlines() if "WeightsError: " in line]
    return told[-1] if told else ""
