"""The command line of `train.py`. Imports nothing heavy, so help and wrong arguments are answered at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from generator.training.presets import DEFAULT, PRESETS, Count
from generator.training.texts.lines import LinesOption

_WITH_RESUME: Final = frozenset({"resume", "out", "no_activate", "corpus", "plan"})
"""Options that a resumed run honours; the others are those that it started with."""
_LIBRARY_URL: Final = "https://www.gutenberg.org/cache/epub/{number}/pg{number}.txt"
_FLAGS: Final = {"overrides": "set", "start_from": "from"}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command line, every value in its range; paths of texts and versions are absolute.

    A run completes it with what was not given, and keeps it, so that resuming needs nothing but the run's name.
    """

    corpus: tuple[str, ...] = ()
    encoding: str | None = None
    speaker: str | None = None
    lines: LinesOption = "auto"
    corpus_sha256: str = ""
    preset: str = DEFAULT
    overrides: dict[str, str] = {}
    epochs: Count | None = None
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0  # what `keras.utils.set_random_seed` accepts
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    temperatures: tuple[Annotated[float, Meta(gt=0.0, le=100.0)], ...] = ()
    library: str = ""
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
    given["overrides"] = dict(given.get("overrides", ()))
    try:
        return msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        parser.error(str(error).replace("`$.", "`--"))


def _parser(about: str) -> argparse.ArgumentParser:
    presets = "\n".join(f"  {name:<12} {preset.description}" for name, preset in PRESETS.items())
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=about,
        epilog=f"presets:\n{presets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )

    add = parser.add_argument
    add(
        "--corpus", type=_absolute, nargs="+", metavar="FILE",
        help="what to learn: texts, folders, .zip, .gz, EPUB, .docx, HTML, chat exports of WhatsApp, Telegram, Discord "
        "(default: nietzsche.txt, fetched once)",
    )  # fmt: skip
    add("--encoding", metavar="NAME", help="encoding of the texts, such as cp1252 (default: UTF-8, or what is sure)")
    add("--speaker", metavar="NAME", help="of a chat export, learn this person's messages only; ask them first")
    add(
        "--lines", choices=["auto", "wrapped", "kept"],
        help="whether a line's end means a space, as in wrapped prose, or is kept (default: what it shows)",
    )  # fmt: skip
    add("--preset", choices=PRESETS, help=f"the recipe (default: {DEFAULT})")
    add(
        "--set", dest="overrides", type=_assignment, nargs="+", action="extend", metavar="NAME=VALUE",
        help="override hyperparameters: --set units=512 learning_rate=1e-3 pretraining.epochs=2",
    )  # fmt: skip
    add("--epochs", metavar="N", help="passes over the corpus (default: the preset's)")
    add("--seed", metavar="N", help="fixes every random choice (default: 0)")
    add(
        "--dtype", choices=["auto", "bfloat16", "float32"],
        help="arithmetic of the matrix products (default: bfloat16 where the processor has it)",
    )  # fmt: skip
    add("--temperatures", nargs="+", metavar="T", help="of the samples after each epoch (default: the preset's)")
    add(
        "--library", nargs="?", const=_LIBRARY_URL, metavar="ADDRESS",
        help="train first on the library: 324 books of Project Gutenberg, fetched once (180 MB, a quarter of an hour)"
        f" from {_LIBRARY_URL} or the like",
    )  # fmt: skip
    add("--pretrain", type=_absolute, nargs="+", metavar="FILE", help="texts to train on first")
    add("--pretrain-epochs", metavar="N", help="passes over those texts (default: the preset's)")
    add(
        "--rehearse", type=_absolute, nargs="+", metavar="FILE",
        help="texts read again, a tenth in each epoch, so that they are not forgotten",
    )  # fmt: skip
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--from", dest="start_from", type=_absolute, metavar="VERSION",
        help="folder of a version to start from (default, for another text than nietzsche.txt: the shipped version)",
    )  # fmt: skip
    start.add_argument("--from-scratch", action="store_true", help="start from random numbers")
    add("--out", metavar="FOLDER", help="the weights folder (default: weights)")
    add("--name", help="name of the new version (default: corpus, preset and time)")
    add("--no-activate", action="store_true", help="leave CURRENT as it is")
    add("--resume", nargs="?", const="", metavar="NAME", help="continue a run that was stopped (default: the last one)")
    add("--plan", action="store_true", help="print what would be done and roughly how long it takes, and stop")
    return parser


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as units=512")
    return name, value
