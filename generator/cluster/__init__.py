"""The generator as a Ray Serve deployment: each replica runs one `generator.serving` worker.

What deploys to a cluster, or connects a bot to one, enters here. Ray is imported nowhere else.
"""

from importlib.util import find_spec

from generator.dependencies import how_to_install
from generator.errors import Unavailable
from generator.weights.versions import NIETZSCHE


def application(voice: str) -> str:
    """Returns the name of a voice's application on the cluster."""
    return "lstmega" if voice == NIETZSCHE else f"lstmega-{voice}"


def require_ray() -> None:
    """Raises `Unavailable`, which names the extra that brings Ray Serve, when it is not installed."""
    if find_spec("ray") is None:
        raise Unavailable(f"a pool needs Ray Serve, which is not installed; {how_to_install('cluster')}")
