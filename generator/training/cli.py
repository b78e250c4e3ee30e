"""What `train.py` is asked for, and the run that follows from it."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from generator.training import floats
from generator.training import progress as show
from generator.training.checkpoint import RUNS, RunError, RunSettings, unfinished_runs
from generator.training.corpus import Corpus, default_corpus, read_corpus, read_together
from generator.training.dataset import steps_per_epoch
from generator.training.presets import DEFAULT, PRESETS, Preset
from generator.weights.versions import VERSION_NAME, load_weights, shipped_folder

BASE: Final = "nietzsche-best"
"""The shipped version that a text of one's own starts from: it can spell."""


def parse(argv: Sequence[str] | None, about: str) -> argparse.Namespace:
    """The command line. `about`: a line that says what the program does, an empty line, and how it is called."""
    summary, _, examples = about.partition("\n\n")
    presets = "\n".join(f"  {preset.name:<12} {preset.description}" for preset in PRESETS.values())
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=f"{summary}\n\n{examples}",
        epilog=f"recipes:\n{presets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--corpus", type=Path, metavar="FILE", help="the text to learn, UTF-8 (default: nietzsche.txt, downloaded once)"
    )
    add("--preset", choices=PRESETS, default=DEFAULT, help=f"the recipe (default: {DEFAULT})")
    add("--epochs", type=positive, metavar="N", help="times that the text is read (default: the recipe's)")
    add("--seed", type=int, default=0, help="fixes every random choice (default: 0)")
    add(
        "--dtype",
        choices=["auto", "bfloat16", "float32"],
        default="auto",
        help="arithmetic of the matrix products (default: bfloat16 where the processor has it)",
    )
    add(
        "--temperatures",
        type=temperature,
        nargs="+",
        metavar="T",
        help="of the samples after each epoch (default: the recipe's)",
    )
    add(
        "--pretrain",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="texts to read first, so that the network can spell before it meets the corpus",
    )
    add("--pretrain-epochs", type=positive, metavar="N", help="times that those are read (default: the recipe's)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--from",
        dest="start_from",
        type=Path,
        metavar="VERSION",
        help=f"folder of a version to start from (default, for a text of your own: {BASE})",
    )
    start.add_argument("--from-scratch", action="store_true", help="start from random numbers")
    add("--out", type=Path, default=Path("weights"), metavar="FOLDER", help="the weights folder (default: weights)")
    add("--name", help="of the new version (default: corpus, recipe and time)")
    add("--no-activate", action="store_true", help="leave CURRENT as it is")
    add(
        "--resume",
        nargs="?",
        const="",
        metavar="NAME",
        help="go on with a run that was stopped (default: the last one), with the settings that it began with",
    )
    return parser.parse_args(argv)


def positive(text: str) -> int:
    """A whole number above 0. Raises `ValueError`, which argparse tells."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def temperature(text: str) -> float:
    """A finite number above 0. Raises `ValueError`, which argparse tells."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError
    return number


def begin(arguments: argparse.Namespace) -> tuple[RunSettings, Corpus, Path]:
    """The run's settings, its text and its folder: of a new run, or of the one that is gone on with.

    Raises `CorpusError` or `RunError`.
    """
    if arguments.resume is not None:
        folder = run_to_resume(arguments.out, arguments.resume)
        settings = RunSettings.load(folder)
        corpus = corpus_of(settings.corpus, PRESETS[settings.preset])
        if corpus.sha256 != settings.corpus_sha256:
            raise RunError(f"{settings.corpus}: not the text that the run began with; begin a new run")
        return settings, corpus, folder
    preset = PRESETS[arguments.preset]
    corpus = corpus_of(arguments.corpus, preset)
    stem = "".join(c if VERSION_NAME.fullmatch(c) else "-" for c in Path(corpus.name).stem).strip("-")[:40] or "text"
    name = arguments.name or f"{stem}-{arguments.preset}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not VERSION_NAME.fullmatch(name):
        raise RunError(f"--name {name!r}: use letters, digits, dots, hyphens and underscores only")
    if (arguments.out / name).exists():
        raise RunError(f"{arguments.out / name}: this version exists, and versions never change; choose another --name")
    start_from = start_of(arguments, corpus)
    pretrained = read_together(arguments.pretrain, corpus.vocabulary)  # said now, not after an hour
    reading = preset.reading if start_from is None and not len(pretrained) else preset.tuning
    training, _, _ = corpus.splits()
    per_epoch = steps_per_epoch(len(training), preset.fitted(len(training)), reading.order)
    settings = RunSettings(
        name=name,
        preset=arguments.preset,
        epochs=arguments.epochs or reading.epochs_for(per_epoch),
        seed=arguments.seed,
        dtype=processor_dtype() if arguments.dtype == "auto" else arguments.dtype,
        temperatures=tuple(arguments.temperatures or preset.temperatures),
        corpus=str(arguments.corpus.resolve()) if arguments.corpus else "",
        corpus_sha256=corpus.sha256,
        pretrain=tuple(str(path.resolve()) for path in arguments.pretrain),
        pretrain_epochs=arguments.pretrain_epochs or preset.pretraining.epochs,
        start_from=None if start_from is None else str(start_from.resolve()),
    )
    folder = arguments.out / RUNS / name
    settings.save(folder)
    return settings, corpus, folder


def start_of(arguments: argparse.Namespace, corpus: Corpus) -> Path | None:
    """The version to start from: the one that was named, else, for a text that it has not read, `BASE`.

    Raises `WeightsError` when the named one cannot be started from.
    """
    if arguments.start_from is not None:
        floats.carry_over(arguments.start_from, corpus.vocabulary)
        return Path(arguments.start_from)
    if arguments.from_scratch or arguments.pretrain or arguments.preset != DEFAULT:
        return None
    for folder in (arguments.out, shipped_folder()):
        if (folder / BASE / floats.FILE).is_file():
            known = load_weights(folder, BASE).manifest.corpus.sha256
            return None if known == corpus.sha256 else folder / BASE
    return None


def run_to_resume(out: Path, name: str) -> Path:
    """The folder of the named run, else of the last one that has no version yet. Raises `RunError`."""
    if name:
        return out / RUNS / name
    runs = unfinished_runs(out)
    if not runs:
        raise RunError(f"{out}: no run to go on with; without --resume a new one begins")
    return runs[-1]


def corpus_of(path: Path | str | None, preset: Preset) -> Corpus:
    """The named text, or nietzsche.txt, downloaded the first time, as the preset reads it. Raises `CorpusError`."""
    if path:
        corpus = read_corpus(Path(path))
    else:
        with show.download_bar() as progress:
            corpus = default_corpus(progress)
    return corpus.lowered() if preset.lowercase else corpus


def processor_dtype() -> str:
    """bfloat16 where the processor multiplies it (x86 AVX512_BF16 or AMX, Arm BF16), else float32."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return "float32"
    return "bfloat16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"
