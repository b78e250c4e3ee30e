"""The command line of the cluster: `python -m generator serve` deploys the generator to Ray."""

from __future__ import annotations

import argparse
import signal

from generator.cluster import require_ray
from generator.errors import GeneratorError
from generator.weights.versions import NIETZSCHE, SHIPPED_VOICES, shipped_folder


def _count(typed: str) -> int:
    if not (typed.isdecimal() and 1 <= int(typed) <= 10_000):
        raise argparse.ArgumentTypeError(f"{typed[:40]!r} is not a whole number from 1 to 10000")
    return int(typed)


def main() -> None:
    """Runs one command. Exit status: 0 done, 1 refused by the cluster or the weights, 2 typed wrongly, 130 Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m generator",
        description="Deploys the generator to a Ray cluster, for many bots. Run it again to switch to other weights or"
        " to another number of replicas, replica by replica, while the others serve.",
        epilog="If no cluster runs, one is started on this machine and runs until Ctrl-C.",
    )
    parser.add_argument("command", nargs="?", choices=["serve"], help="without it, this help is shown")
    parser.add_argument("--voice", default=NIETZSCHE, metavar="NAME", help="for [voices.NAME] of the bots")
    parser.add_argument("--address", default="auto", help='"auto" (default), "host:6379" or "ray://host:10001"')
    parser.add_argument("--replicas", type=_count, default=1, metavar="N", help="how many at least (default: 1)")
    parser.add_argument("--most", type=_count, metavar="N", help="how many at most, under load")
    parser.add_argument("--threads", type=_count, default=1, metavar="N", help="per replica (default: 1)")
    parser.add_argument(
        "--weights",
        metavar="FOLDER-OR-URL",
        help="a weights folder, the folder of one version in it, or an fsspec URL of a weights folder; every node"
        f" must reach it (default for {' and '.join(SHIPPED_VOICES)}: the shipped weights)",
    )
    parser.add_argument("--version", help="the version to serve (default: the one that CURRENT names)")
    options = parser.parse_args()
    if options.command is None:
        parser.print_help()
        return
    if options.most is not None and options.most < options.replicas:
        parser.error("--most must be at least --replicas")
    if options.weights is None:
        if options.voice not in SHIPPED_VOICES:
            parser.error(f"--voice {options.voice} needs --weights")
        options.weights = str(shipped_folder() / SHIPPED_VOICES[options.voice])
    try:
        require_ray()
        from generator.cluster.deploy import connect, deploy  # noqa: PLC0415 - it imports Ray

        started = connect(options.address, or_start=True)
        scale = options.replicas, options.most, options.threads
        version = deploy(options.weights, options.version, *scale, voice=options.voice)
    except GeneratorError as error:
        parser.exit(1, f"python -m generator serve: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "python -m generator serve: interrupted; the cluster continues the deployment\n")
    print(f"{version} serves on {options.replicas} replica{'s' * (options.replicas > 1)}", flush=True)
    if started:
        print("The cluster was started here. Ctrl-C ends it.", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
