"""The command line of `train.py`. Imports nothing heavy, so help and wrong arguments are answered at once."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from generator.training.presets import DEFAULT, PRESETS

_MAX_SEED: Final = 2**32 - 1
"""What `keras.utils.set_random_seed` accepts."""
_WITH_RESUME: Final = frozenset({"resume", "out", "no_activate", "corpus", "plan"})
"""Options that a resumed run honours; the others are those that it started with."""
_FLAGS: Final = {"overrides": "set", "start_from": "from"}


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, every value in its range."""

    corpus: Path | None
    preset: str
    overrides: tuple[tuple[str, str], ...]
    epochs: int | None
    seed: int
    dtype: str
    temperatures: tuple[float, ...] | None
    pretrain: tuple[Path, ...]
    pretrain_epochs: int | None
    rehearse: tuple[Path, ...]
    start_from: Path | None
    from_scratch: bool
    out: Path
    name: str | None
    no_activate: bool
    resume: str | None
    plan: bool


def parse(argv: Sequence[str] | None, about: str) -> Options:
    """Parses the command line; exits with status 2 and one line when it is wrong.

    `about`: a line that says what the program does, an empty line, and examples.
    """
    parser = _parser(about)
    values = vars(parser.parse_args(argv))
    if values["resume"] is not None:
        given = {name for name, value in values.items() if value != parser.get_default(name)}
        if refused := sorted(given - _WITH_RESUME):
            flags = ", ".join("--" + _FLAGS.get(name, name.replace("_", "-")) for name in refused)
            parser.error(f"--resume continues with the settings that the run started with; leave out {flags}")
    frozen: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
    return Options(**frozen)


def _parser(about: str) -> argparse.ArgumentParser:
    summary, _, examples = about.partition("\n\n")
    presets = "\n".join(f"  {preset.name:<12} {preset.description}" for preset in PRESETS.values())
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=f"{summary}\n\n{examples}",
        epilog=f"presets:\n{presets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def add(flag: str, text: str, **options: object) -> None:
        parser.add_argument(flag, help=text, **options)  # type: ignore[arg-type]

    add("--corpus", "the text to train on, UTF-8 (default: nietzsche.txt, downloaded once)", type=Path, metavar="FILE")
    add("--preset", f"the recipe (default: {DEFAULT})", choices=PRESETS, default=DEFAULT)
    add(
        "--set",
        "override hyperparameters: --set units=512 learning_rate=1e-3 pretraining.epochs=2",
        dest="overrides", type=_assignment, nargs="+", default=[], action="extend", metavar="NAME=VALUE",
    )  # fmt: skip
    add("--epochs", "passes over the corpus (default: the preset's)", type=_positive, metavar="N")
    add("--seed", "fixes every random choice (default: 0)", type=_seed, default=0, metavar="N")
    add(
        "--dtype",
        "arithmetic of the matrix products (default: bfloat16 where the processor has it)",
        choices=["auto", "bfloat16", "float32"], default="auto",
    )  # fmt: skip
    add(
        "--temperatures",
        "temperatures of the samples after each epoch (default: the preset's)",
        type=_temperature, nargs="+", metavar="T",
    )  # fmt: skip
    add("--pretrain", "texts to train on first", type=Path, nargs="+", default=[], metavar="FILE")
    add("--pretrain-epochs", "passes over those texts (default: the preset's)", type=_positive, metavar="N")
    add(
        "--rehearse",
        "texts read again beside the corpus, a tenth in each epoch, so that they are not forgotten",
        type=Path, nargs="+", default=[], metavar="FILE",
    )  # fmt: skip
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--from",
        dest="start_from",
        type=Path,
        metavar="VERSION",
        help="folder of a version to start from (default, for another text than nietzsche.txt: the shipped version)",
    )
    start.add_argument("--from-scratch", action="store_true", help="start from random numbers")
    add("--out", "the weights folder (default: weights)", type=Path, default=Path("weights"), metavar="FOLDER")
    add("--name", "name of the new version (default: corpus, preset and time)")
    add("--no-activate", "leave CURRENT as it is", action="store_true")
    add("--resume", "continue a run that was stopped (default: the last one)", nargs="?", const="", metavar="NAME")
    add("--plan", "print what would be done and roughly how long it takes, and stop", action="store_true")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _MAX_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {_MAX_SEED}")
    return number


def _temperature(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as units=512")
    return name, value
