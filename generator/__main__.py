"""The command line of the cluster: `python -m generator serve` deploys the generator to Ray."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from generator.cluster.deploy import connect, deploy
from generator.errors import GeneratorError
from generator.weights.versions import locate, shipped_folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m generator", description="Generates texts for many bots, on a Ray cluster."
    )
    serve = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command").add_parser(
        "serve",
        help="deploy the generator, or give it other weights",
        description="Deploys the generator to a Ray cluster. Run it again to switch to other weights or to another"
        " number of replicas, replica by replica, while the others serve.",
        epilog="If no cluster runs, one is started on this machine and runs until Ctrl-C.",
    )
    serve.add_argument("--address", default="auto", help='"auto" (default), "host:6379" or "ray://host:10001"')
    serve.add_argument("--replicas", type=_count, default=1, metavar="N", help="how many at least (default: 1)")
    serve.add_argument("--most", type=_count, metavar="N", help="how many at most, under load")
    serve.add_argument("--threads", type=_count, default=1, metavar="N", help="per replica (default: 1)")
    serve.add_argument(
        "--weights",
        default=str(shipped_folder()),
        metavar="FOLDER-OR-URL",
        help="a weights folder, the folder of one version in it, or an fsspec URL of a weights folder; every node"
        " must reach it (default: the shipped weights)",
    )
    serve.add_argument("--version", help="the version to serve (default: the one that CURRENT names)")
    return parser


def _count(typed: str) -> int:
    if not typed.isdecimal() or not 1 <= int(typed[:5]) <= 10_000:
        raise argparse.ArgumentTypeError(f"{typed[:40]!r} is not a whole number from 1 to 10000")
    return int(typed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit status: 0 done, 1 refused by the cluster or the weights, 130 Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if options.most is not None and options.most < options.replicas:
        parser.error("--most must be at least --replicas")
    try:
        started = connect(options.address, or_start=True)
        weights, version = options.weights, options.version
        if "://" not in weights:
            folder, named = locate(Path(weights))
            weights, version = str(folder), version or named
        version = deploy(weights, version, replicas=options.replicas, most=options.most, threads=options.threads)
    except GeneratorError as error:
        print(f"python -m generator serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("python -m generator serve: interrupted; the cluster continues the deployment", file=sys.stderr)
        return 130  # 128 + SIGINT
    print(f"{version} serves on {options.replicas} replicas", flush=True)
    if started:
        print("The cluster was started here. Ctrl-C ends it.", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    sys.exit(main())
