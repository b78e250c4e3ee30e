"""The command line of the pool: `python -m generator serve` deploys it."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from generator.cluster.deploy import DeploymentSpec, connect, deploy
from generator.errors import GeneratorError
from generator.weights.manifest import MANIFEST
from generator.weights.versions import shipped_folder

_WRONG = 1
_INTERRUPTED = 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m generator", description="A pool that writes texts for many bots, on Ray Serve."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    serve = commands.add_parser(
        "serve",
        help="deploy the pool, or give it other weights",
        description="Deploys the pool to a Ray cluster. Done again, it takes up other weights or another number of"
        " replicas, replica by replica, while the others write.",
        epilog="Where no cluster runs, one is started on this machine and lasts until Ctrl-C.",
    )
    serve.add_argument("--address", default="auto", help='"auto" (default), "host:6379" or "ray://host:10001"')
    serve.add_argument("--replicas", type=_count, default=1, metavar="N", help="how many write (default: 1)")
    serve.add_argument("--most", type=_count, metavar="N", help="up to so many when there is much to do")
    serve.add_argument("--threads", type=_count, default=1, metavar="N", help="of each replica (default: 1)")
    serve.add_argument(
        "--weights",
        default=str(shipped_folder()),
        metavar="FOLDER-OR-URL",
        help="a weights folder, the folder of one version in it, or an fsspec URL of a weights folder; every node"
        " has to reach it (default: the weights that came with the program)",
    )
    serve.add_argument("--version", help="the version to serve (default: the one that CURRENT names)")
    return parser


def _count(typed: str) -> int:
    if not typed.isdecimal() or not 1 <= int(typed[:5]) <= 10_000:
        raise argparse.ArgumentTypeError(f"{typed[:40]!r} is not a whole number from 1 to 10000")
    return int(typed)


def _spec(options: argparse.Namespace) -> DeploymentSpec:
    weights, version = options.weights, options.version
    if "://" not in weights:
        path = Path(weights).expanduser().resolve()
        if (path / MANIFEST).is_file():
            path, version = path.parent, version or path.name
        weights = str(path)
    return DeploymentSpec(weights, version, options.replicas, options.most, options.threads)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 the cluster or the weights refuse, 130 Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if options.most is not None and options.most < options.replicas:
        parser.error("--most must be at least --replicas")
    try:
        spec = _spec(options)
        started = connect(options.address, or_start=True)
        version = deploy(spec)
    except GeneratorError as error:
        print(f"python -m generator serve: {error}", file=sys.stderr)
        return _WRONG
    except KeyboardInterrupt:
        print(
            "python -m generator serve: no longer waits; what was asked of a cluster it goes on with", file=sys.stderr
        )
        return _INTERRUPTED
    print(f"{version} serves on {spec.replicas} replicas", flush=True)
    if started:
        print("The cluster was started here, and ends with Ctrl-C.", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    sys.exit(main())
