"""A run of training: everything that decides how it goes, checked before anything is written or TensorFlow loads."""

from __future__ import annotations

import re
import textwrap
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from timeit import timeit
from typing import Final

import msgspec
import numpy as np
from msgspec import structs

from generator import files
from generator.training import TrainingError
from generator.training.cli import Options
from generator.training.corpus import Corpus, read_corpus, read_together, steps_per_epoch
from generator.training.presets import DEFAULT, PRESETS, Preset, TrainingConfig
from generator.training.texts import download
from generator.vocabulary import Indices
from generator.weights.manifest import FLOAT_WEIGHTS, MANIFEST
from generator.weights.versions import VERSION_NAME, Weights, load_weights, shipped_folder

RUNS: Final = ".training"
"""Folder inside the weights folder; a run's folder has the name of its version."""
BASE: Final = "nietzsche-wide-3"
"""The shipped version from which training on another text starts: it knows English spelling."""
_FOREIGN: Final = 0.005
"""Share of a text from which on letters new to the start show another language, which its fine-tuning's low rate learns
too slowly (docs/own-book.md, the French novel)."""
_SETTINGS: Final = "settings.json"
_TRAINING_EFFICIENCY: Final = 0.6
"""Share of the speed of large matrix products that a training step reaches (docs/training.md)."""


@dataclass(frozen=True)
class Stage:
    """A text to train on, how it is read, and the folder of its checkpoints.

    `rehearsal` is an earlier text; each epoch also reads a tenth of it, so that it is not forgotten.
    """

    text: Indices
    preset: Preset
    config: TrainingConfig
    folder: Path
    rehearsal: Indices

    def text_of_epoch(self, epoch: int) -> Indices:
        """Returns what the epoch, counted from 1, reads: the text, or its next part when it is read once."""
        text, epochs = self.text, self.config.epochs
        if self.config.order == "once":
            text = text[(epoch - 1) * len(text) // epochs : epoch * len(text) // epochs]
        tenth = len(self.rehearsal) // 10
        first = (epoch - 1) % 10 * tenth
        return np.concatenate([self.rehearsal[first : first + tenth], text])

    def __str__(self) -> str:
        times = f"up to {self.config.epochs} times" if self.config.patience else f"{self.config.epochs} times"
        if self.config.order == "once":
            times = f"once, in {self.config.epochs} parts"
        return f"{len(self.text):,} characters {times}, in {self.preset.batch} rows of {self.preset.steps}"


@dataclass(frozen=True)
class Run:
    """A run that can start: its options, completed, and what they name, read and checked.

    `pretraining` is None when no texts were named for it. `start`: the version to start from; `new_letters`: the share
    of the text that is letters which it never saw.
    """

    options: Options
    corpus: Corpus
    pretraining: Stage | None
    training: Stage
    start: Weights | None
    new_letters: float

    @property
    def is_started(self) -> bool:
        """Whether its folder exists, so that it can be resumed."""
        return (self.training.folder / _SETTINGS).exists()

    def save_settings(self) -> None:
        """Creates the folder of a new run, with its settings. Raises `OSError`."""
        self.training.folder.mkdir(parents=True)
        content = msgspec.json.format(msgspec.json.encode(self.options), indent=2)
        (self.training.folder / _SETTINGS).write_bytes(content)

    def plan(self) -> str:
        """Returns what the run will do and roughly how long it takes, a line each, without loading TensorFlow."""
        options, preset, vocabulary = self.options, self.training.preset, self.corpus.vocabulary
        start = "random numbers"
        if self.start is not None:
            start = self.start.manifest.version
            if new := [c for c in vocabulary.characters if c not in self.start.manifest.vocabulary]:
                more = f" … ({len(new):,} of {len(vocabulary):,})"
                start += f"; characters new to it: {textwrap.shorten(' '.join(new), 40, placeholder=more)}"
            rate, share = self.training.config.learning_rate, self.new_letters
            if share > _FOREIGN and rate == preset.training.learning_rate:
                start += (
                    f"\nlearning rate {rate:g}, as from random numbers: {share:.1%} of the text are letters new to it"
                )
        stages = [stage for stage in (self.pretraining, self.training) if stage is not None]
        work = sum(len(stage.text_of_epoch(1)) * stage.config.epochs for stage in stages)
        operations = 6 * preset.multiply_adds(len(vocabulary)) * work  # forwards 2, backwards 4
        seconds = operations / (_matrix_speed() * (2 if options.dtype == "bfloat16" else 1) * _TRAINING_EFFICIENCY)
        minutes = max(1, round(seconds / 60))
        time_needed = f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
        patience = self.training.config.patience
        less = f"; less if validation does not improve for {patience} epochs" if patience else ""
        lines = [
            f"{options.preset}: {preset.description}; {options.dtype}",
            f"makes {Path(options.out) / options.name}; checkpoints in {self.training.folder}",
            f"starts from {start}",
            *([] if self.pretraining is None else [f"pretraining: {self.pretraining}"]),
            f"corpus: {self.training}",
            *self.corpus.remarks,
            f"lines: {self.corpus.lines}; --lines {'kept' if self.corpus.lines.wrapped else 'wrapped'} overrides that",
            f"talk to the best epoch so far: python -m bot chat --weights {self.training.folder}",
            f"takes roughly {time_needed} on this machine{less}",
        ]
        return "\n".join(lines)


def prepare(options: Options) -> Run:
    """Returns the run that the command line asks for; with `resume` an earlier one, with the options it started with.

    Raises `TrainingError` or `WeightsError`.
    """
    _check_writable(Path(options.out))
    if options.resume is not None:
        options = _resumed(options)
    preset = PRESETS[options.preset].overridden(options.overrides)
    corpus = read_corpus(
        *(map(Path, options.corpus) if options.corpus else (download.default_corpus(),)),
        lowercase=preset.lowercase,
        encoding=options.encoding,
        speaker=options.speaker,
        lines=options.lines,
    )
    if options.resume is not None and corpus.note.sha256 != options.corpus_sha256:
        raise TrainingError(f"{' '.join(options.corpus)}: not the text that the run started with; start a new run")
    if options.library and options.resume is None:
        found = download.fetch(download.books(), download.cache_folder() / "library", options.library)
        nearest = tuple(str(path) for book, path in found.items() if book.kind == "nietzsche")
        options = structs.replace(
            options, pretrain=(*map(str, found.values()), *options.pretrain), rehearse=options.rehearse or nearest
        )
    start = _start(options, preset, corpus)
    if options.resume is None:
        options = _completed(options, preset, corpus, start)

    folder = Path(options.out) / RUNS / options.name
    text = corpus.splits[0]
    earlier = read_together(options.pretrain, corpus.vocabulary)
    rehearsal = read_together(options.rehearse, corpus.vocabulary)
    pretraining = None
    if len(earlier):
        config = replace(preset.pretraining, epochs=options.pretrain_epochs or preset.pretraining.epochs)
        pretraining = Stage(earlier, preset.fitted(len(earlier)), config, folder / "pretraining", earlier[:0])
    config = preset.fine_tuning if start or pretraining else preset.training
    is_given = any(name.endswith("learning_rate") for name in options.overrides)
    new_letters = _new_letters(corpus.text, start)
    if new_letters > _FOREIGN and not is_given:
        config = replace(config, learning_rate=preset.training.learning_rate)
    fitted = preset.fitted(len(text))
    if not (steps := steps_per_epoch(len(text), fitted, config.order)):
        name = corpus.note.name
        raise TrainingError(f"{name}: shorter than one sequence of {fitted.steps} characters; lower --set steps")
    epochs = options.epochs or config.epochs_for(steps)
    training = Stage(text, fitted, replace(config, epochs=epochs), folder, rehearsal)
    return Run(options, corpus, pretraining, training, start, new_letters)


def _new_letters(text: str, start: Weights | None) -> float:
    if start is None:
        return 0.0
    new = (count for c, count in Counter(text).items() if c.isalpha() and c not in start.manifest.vocabulary)
    return sum(new) / len(text)


def _completed(options: Options, preset: Preset, corpus: Corpus, start: Weights | None) -> Options:
    stem = re.sub("[^A-Za-z0-9]", "-", Path(corpus.note.name).stem).strip("-")[:40] or "text"
    name = options.name or f"{stem}-{options.preset}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not VERSION_NAME.fullmatch(name):
        raise TrainingError(f"--name {name!r}: use letters, digits, dots, hyphens and underscores only")
    place = Path(options.out) / name
    if place.exists():
        raise TrainingError(f"{place}: this version exists, and versions never change; choose another --name")
    if (run := Path(options.out) / RUNS / name).exists():
        raise TrainingError(f"{run}: this run exists; continue it with --resume {name}, or choose another --name")
    return structs.replace(
        options,
        name=name,
        corpus_sha256=corpus.note.sha256,
        dtype=_processor_dtype() if options.dtype == "auto" else options.dtype,
        temperatures=options.temperatures or preset.temperatures,
        start_from=str(start.folder.absolute()) if start else None,
    )


def _resumed(options: Options) -> Options:
    """The options of the named run, or the last unfinished one. `--corpus` says where its text is now, if it moved."""
    out = Path(options.out)
    runs: dict[str, Options] = {}
    for path in sorted((out / RUNS).glob(f"*/{_SETTINGS}"), key=lambda path: path.stat().st_mtime):
        with suppress(OSError, msgspec.DecodeError):
            runs[path.parent.name] = msgspec.json.decode(path.read_bytes(), type=Options)
    unfinished = [name for name in runs if not (out / name).exists()]
    name = options.resume or (unfinished[-1] if unfinished else "")
    if name not in unfinished:
        there = f"there are {', '.join(unfinished)}"
        if not unfinished:
            there = "no run to resume; without --resume a new one starts"
        what = "is finished" if name in runs else "no such run, or its settings cannot be read"
        raise TrainingError(f"{out / RUNS / name}: {what}; {there}" if name else f"{out}: {there}")
    corpus = options.corpus or runs[name].corpus
    if missing := next((path for path in corpus if not Path(path).exists()), None):
        raise TrainingError(f"{missing}: is not there; if the text of this run moved, name it: --resume --corpus FILE")
    return structs.replace(
        runs[name], corpus=corpus, out=options.out, no_activate=options.no_activate, resume=name, plan=options.plan
    )


def _check_writable(folder: Path) -> None:
    """Raises `TrainingError` when the weights folder is no folder that can be written, or cannot be made."""
    place = files.nearest(folder.absolute())
    if not place.is_dir():
        raise TrainingError(f"{place}: is no folder; choose another with --out")
    if not files.takes_files(place):
        raise TrainingError(f"{place}: cannot be written; choose another folder with --out")


def _start(options: Options, preset: Preset, corpus: Corpus) -> Weights | None:
    """The version to start from: the named one, else for a new run `BASE`, unless it was trained on this text."""
    if options.start_from is not None:
        path = Path(options.start_from)
        if not path.is_dir():
            others = ", ".join(sorted(each.parent.name for each in path.parent.glob(f"*/{MANIFEST}")))
            raise TrainingError(f"{path}: no such version" + (f"; there are {others}" if others else ""))
        version = load_weights(path.parent, path.name)
        manifest = version.manifest
        if FLOAT_WEIGHTS not in manifest.files:
            raise TrainingError(f"{path / FLOAT_WEIGHTS}: missing; --from needs a version with its float weights")
        if manifest.architecture != preset.network:
            raise TrainingError(
                f"--from {path.name}: its network has another shape than --preset {options.preset}"
                f" ({manifest.architecture}); use --preset {manifest.preset}, which made it"
            )
        return version
    if options.resume is not None or options.from_scratch or options.pretrain or options.preset != DEFAULT:
        return None
    for folder in (Path(options.out), shipped_folder()):
        if (folder / BASE / FLOAT_WEIGHTS).is_file():
            base = load_weights(folder, BASE)
            fits = base.manifest.architecture == preset.network and base.manifest.corpus.sha256 != corpus.note.sha256
            return base if fits else None
    return None


def _processor_dtype() -> str:
    """bfloat16 where the processor multiplies it (x86 AVX512_BF16 or AMX, Arm BF16), else float32."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return "float32"
    return "bfloat16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


def _matrix_speed() -> float:
    """Operations per second of float32 matrix products on this machine, all cores."""
    matrix = np.ones((1024, 1024), np.float32)
    matrix @ matrix
    return 5 * 2 * 1024**3 / timeit(lambda: matrix @ matrix, number=5)
