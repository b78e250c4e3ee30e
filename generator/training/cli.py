"""The command line of `train.py`. Imports nothing heavy, so help and wrong arguments are answered at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from generator.training.presets import DEFAULT, PRESETS, Count

_WITH_RESUME: Final = frozenset({"resume", "out", "no_activate", "corpus", "plan"})
"""Options that a resumed run honours; the others are those that it started with."""
_FLAGS: Final = {"overrides": "set", "start_from": "from"}

Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
"""What `keras.utils.set_random_seed` accepts."""
Temperature = Annotated[float, Meta(gt=0.0, le=100.0)]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command line, every value in its range; paths of texts and versions are absolute.

    A run completes it with what was not given, and keeps it, so that resuming needs nothing but the run's name.
    """

    corpus: str = ""
    corpus_sha256: str = ""
    preset: str = DEFAULT
    overrides: dict[str, str] = {}
    epochs: Count | None = None
    seed: Seed = 0
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    temperatures: tuple[Temperature, ...] = ()
    pretrain: tuple[str, ...] = ()
    pretrain_epochs: Count | None = None
    rehearse: tuple[str, ...] = ()
    start_from: str | None = None
    from_scratch: bool = False
    out: str = "weights"
    name: str = ""
    no_activate: bool = False
    resume: str | None = None
    plan: bool = False


def parse(argv: Sequence[str] | None, about: str) -> Options:
    """Parses the command line; exits with status 2 and one line when it is wrong.

    `about`: a line that says what the program does, an empty line, and examples.
    """
    parser = _parser(about)
    given = vars(parser.parse_args(argv))
    if "resume" in given and (refused := sorted(given.keys() - _WITH_RESUME)):
        flags = ", ".join("--" + _FLAGS.get(name, name.replace("_", "-")) for name in refused)
        parser.error(f"--resume continues with the settings that the run started with; leave out {flags}")
    if "overrides" in given:
        given["overrides"] = dict(given["overrides"])
    try:
        return msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        parser.error(str(error).replace("`$.", "`--"))


def _parser(about: str) -> argparse.ArgumentParser:
    presets = "\n".join(f"  {preset.name:<12} {preset.description}" for preset in PRESETS.values())
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=about,
        epilog=f"presets:\n{presets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )

    start = parser.add_mutually_exclusive_group()
    several: dict[str, object] = {"type": _absolute, "nargs": "+", "metavar": "FILE"}

    def add(flag: str, text: str, **options: object) -> None:
        (start if flag.startswith("--from") else parser).add_argument(flag, help=text, **options)  # type: ignore[arg-type]

    add("--corpus", "text to train on, UTF-8 (default: nietzsche.txt, downloaded once)", type=_absolute, metavar="FILE")
    add("--preset", f"the recipe (default: {DEFAULT})", choices=PRESETS)
    add(
        "--set",
        "override hyperparameters: --set units=512 learning_rate=1e-3 pretraining.epochs=2",
        dest="overrides", type=_assignment, nargs="+", action="extend", metavar="NAME=VALUE",
    )  # fmt: skip
    add("--epochs", "passes over the corpus (default: the preset's)", metavar="N")
    add("--seed", "fixes every random choice (default: 0)", metavar="N")
    add(
        "--dtype",
        "arithmetic of the matrix products (default: bfloat16 where the processor has it)",
        choices=["auto", "bfloat16", "float32"],
    )
    add("--temperatures", "of the samples after each epoch (default: the preset's)", nargs="+", metavar="T")
    add("--pretrain", "texts to train on first", **several)
    add("--pretrain-epochs", "passes over those texts (default: the preset's)", metavar="N")
    add("--rehearse", "texts read again, a tenth in each epoch, so that they are not forgotten", **several)
    add(
        "--from",
        "folder of a version to start from (default, for another text than nietzsche.txt: the shipped version)",
        dest="start_from", type=_absolute, metavar="VERSION",
    )  # fmt: skip
    add("--from-scratch", "start from random numbers", action="store_true")
    add("--out", "the weights folder (default: weights)", metavar="FOLDER")
    add("--name", "name of the new version (default: corpus, preset and time)")
    add("--no-activate", "leave CURRENT as it is", action="store_true")
    add("--resume", "continue a run that was stopped (default: the last one)", nargs="?", const="", metavar="NAME")
    add("--plan", "print what would be done and roughly how long it takes, and stop", action="store_true")
    return parser


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as units=512")
    return name, value
