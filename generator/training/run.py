"""A run of training: everything that decides how it goes, checked before anything is written or TensorFlow loads."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from generator import files
from generator.training.cli import Options
from generator.training.corpus import Corpus, CorpusError, default_corpus, read_corpus, read_together
from generator.training.dataset import steps_per_epoch
from generator.training.presets import DEFAULT, PRESETS, OverrideError, Preset
from generator.vocabulary import Indices
from generator.weights.manifest import FLOAT_WEIGHTS
from generator.weights.versions import VERSION_NAME, load_weights, shipped_folder

RUNS: Final = ".training"
"""Folder inside the weights folder; a run's folder has the name of its version."""
BASE: Final = "nietzsche-ngram"
"""The shipped version from which training on another text starts: it knows English spelling."""
_SETTINGS: Final = "settings.json"
_SHAPE: Final = ("embedding", "units", "layers", "dense", "ngram_bits", "ngram_width")
_TRAINING_EFFICIENCY: Final = 0.6
"""Share of the speed of large matrix products that a training step reaches (docs/training.md)."""

DownloadBar = Callable[[], AbstractContextManager[Callable[[int, int | None], None]]]


class RunError(Exception):
    """A run cannot be started or resumed; the message says what to do instead."""


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides how a run goes, so that resuming needs nothing but its name."""

    name: str
    preset: str
    epochs: int
    seed: int
    dtype: str
    temperatures: tuple[float, ...]
    corpus: str
    corpus_sha256: str
    pretrain: tuple[str, ...]
    pretrain_epochs: int
    start_from: str | None
    overrides: dict[str, str] = {}
    rehearse: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run that can start: its settings, and what they name, read and checked. `folder` holds its checkpoints."""

    settings: RunSettings
    preset: Preset
    corpus: Corpus
    folder: Path
    resumed: bool = False
    pretraining_text: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    rehearsal_text: Indices = field(default_factory=lambda: np.zeros(0, np.int64))

    def save_settings(self) -> None:
        """Creates the folder of a new run, with its settings. Raises `RunError`."""
        if self.resumed:
            return
        try:
            self.folder.mkdir(parents=True)
            (self.folder / _SETTINGS).write_bytes(msgspec.json.format(msgspec.json.encode(self.settings), indent=2))
        except FileExistsError as error:
            raise RunError(
                f"{self.folder}: a run of this name exists; continue it with --resume {self.settings.name}, "
                "or choose another --name"
            ) from error
        except OSError as error:
            raise RunError(f"{self.folder}: {files.reason(error)}; choose another folder with --out") from error

    def plan(self) -> str:
        """Returns what the run will do and roughly how long it takes, a line each, without loading TensorFlow."""
        settings, symbols = self.settings, len(self.corpus.vocabulary)
        start = Path(settings.start_from).name if settings.start_from else "random numbers"
        lines = [
            f"{settings.preset}: {self.preset.description}; {settings.dtype}",
            f"makes {self.folder.parent.parent / settings.name}",
            f"starts from {start}; {symbols:,} symbols",
        ]
        characters = len(self.corpus.training) * settings.epochs
        if len(self.pretraining_text):
            passes = 1 if self.preset.pretraining.order == "once" else settings.pretrain_epochs
            lines.append(f"pretraining: {len(self.pretraining_text):,} characters, {passes} times")
            characters += len(self.pretraining_text) * passes
        lines.append(f"corpus: {len(self.corpus.training):,} characters, up to {settings.epochs} times")
        operations = 6 * self.preset.multiply_adds(symbols) * characters  # forwards 2, backwards 4
        speed = _matrix_speed() * (2 if settings.dtype == "bfloat16" else 1) * _TRAINING_EFFICIENCY
        lines.append(f"takes roughly {duration(operations / speed)} on this machine; the run itself measures it first")
        return "\n".join(lines)


def new_run(options: Options, download_bar: DownloadBar) -> Run:
    """Returns the run that the command line asks for. Raises `CorpusError`, `RunError` or `WeightsError`."""
    overrides = dict(options.overrides)
    preset = _preset(options.preset, overrides)
    corpus = _corpus(options.corpus, preset, download_bar)
    stem = "".join(c if VERSION_NAME.fullmatch(c) else "-" for c in Path(corpus.name).stem).strip("-")[:40] or "text"
    name = options.name or f"{stem}-{options.preset}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not VERSION_NAME.fullmatch(name):
        raise RunError(f"--name {name!r}: use letters, digits, dots, hyphens and underscores only")
    if (options.out / name).exists():
        raise RunError(f"{options.out / name}: this version exists, and versions never change; choose another --name")
    start_from = _start_version(options, preset, corpus)
    pretraining_text = read_together(options.pretrain, corpus.vocabulary)
    config = preset.training if start_from is None and not len(pretraining_text) else preset.fine_tuning
    per_epoch = steps_per_epoch(len(corpus.training), preset.fitted(len(corpus.training)), config.order)
    settings = RunSettings(
        name=name,
        preset=options.preset,
        epochs=options.epochs or config.epochs_for(per_epoch),
        seed=options.seed,
        dtype=_processor_dtype() if options.dtype == "auto" else options.dtype,
        temperatures=tuple(options.temperatures or preset.temperatures),
        corpus=str(options.corpus.resolve()) if options.corpus else "",
        corpus_sha256=corpus.sha256,
        pretrain=tuple(str(path.resolve()) for path in options.pretrain),
        pretrain_epochs=options.pretrain_epochs or preset.pretraining.epochs,
        start_from=None if start_from is None else str(start_from.resolve()),
        overrides=overrides,
        rehearse=tuple(str(path.resolve()) for path in options.rehearse),
    )
    rehearsal_text = read_together(options.rehearse, corpus.vocabulary)
    folder = options.out / RUNS / name
    return Run(settings, preset, corpus, folder, pretraining_text=pretraining_text, rehearsal_text=rehearsal_text)


def resumed_run(options: Options, download_bar: DownloadBar) -> Run:
    """Returns the named run, or the last unfinished one, with the settings that it started with.

    `--corpus` says where its text is now, if it moved. Raises `CorpusError` or `RunError`.
    """
    runs = _unfinished_runs(options.out)
    folder = options.out / RUNS / options.resume if options.resume else runs[-1] if runs else None
    if folder is None:
        raise RunError(f"{options.out}: no run to resume; without --resume a new one starts")
    try:
        settings = msgspec.json.decode((folder / _SETTINGS).read_bytes(), type=RunSettings, strict=False)
    except (OSError, msgspec.DecodeError) as error:
        there = f"; there are {', '.join(run.name for run in runs)}" if runs else ""
        raise RunError(f"{folder / _SETTINGS}: cannot be read, so this run cannot be resumed{there}") from error
    preset = _preset(settings.preset, settings.overrides)
    path = options.corpus or (Path(settings.corpus) if settings.corpus else None)
    try:
        corpus = _corpus(path, preset, download_bar)
    except CorpusError as error:
        raise CorpusError(f"{error} (if the text of this run moved, name it: --resume --corpus FILE)") from error
    if corpus.sha256 != settings.corpus_sha256:
        raise RunError(f"{path}: not the text that the run started with; start a new run")
    pretraining_text = read_together([Path(name) for name in settings.pretrain], corpus.vocabulary)
    rehearsal_text = read_together([Path(name) for name in settings.rehearse], corpus.vocabulary)
    return Run(
        settings,
        preset,
        corpus,
        folder,
        resumed=True,
        pretraining_text=pretraining_text,
        rehearsal_text=rehearsal_text,
    )


def duration(seconds: float) -> str:
    """Returns minutes, or hours from a hundred minutes on."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _preset(name: str, overrides: dict[str, str]) -> Preset:
    try:
        return PRESETS[name].overridden(overrides)
    except OverrideError as error:
        raise RunError(str(error)) from error


def _corpus(path: Path | None, preset: Preset, download_bar: DownloadBar) -> Corpus:
    """The named text, or nietzsche.txt, downloaded the first time, as the preset reads it."""
    if path is not None:
        corpus = read_corpus(path)
    else:
        with download_bar() as progress:
            corpus = default_corpus(progress)
    return corpus.lowered() if preset.lowercase else corpus


def _start_version(options: Options, preset: Preset, corpus: Corpus) -> Path | None:
    """The version to start from: the named one, else `BASE`, unless it was trained on this text."""
    if options.start_from is not None:
        _check_shape(options.start_from, preset)
        return options.start_from
    if options.from_scratch or options.pretrain or options.preset != DEFAULT or _reshaped(options):
        return None
    for folder in (options.out, shipped_folder()):
        if (folder / BASE / FLOAT_WEIGHTS).is_file():
            known = load_weights(folder, BASE).manifest.corpus.sha256
            return None if known == corpus.sha256 else folder / BASE
    return None


def _reshaped(options: Options) -> bool:
    return any(name in _SHAPE for name, _ in options.overrides)


def _check_shape(version: Path, preset: Preset) -> None:
    """Raises `RunError` when the version's network is not the preset's."""
    manifest = load_weights(version.parent, version.name).manifest
    if not (version / FLOAT_WEIGHTS).is_file():
        raise RunError(f"{version / FLOAT_WEIGHTS}: missing; --from needs a version with its float weights")
    made_by = PRESETS.get(manifest.preset)
    kinds = {made_by.architecture if made_by else preset.architecture, preset.architecture}
    wanted = msgspec.json.decode(msgspec.json.encode(preset))  # as the manifest has it
    differing = [name for name in _SHAPE if manifest.training.get(name, wanted[name]) != wanted[name]]
    if len(kinds) > 1 or differing:
        raise RunError(
            f"--from {version.name}: its network has another shape than --preset {preset.name}"
            f" ({', '.join(differing) or 'architecture'}); use --preset {manifest.preset}, which made it"
        )


def _unfinished_runs(weights: Path) -> list[Path]:
    """The runs without a finished version, the most recently started last."""
    runs = [place for place in (weights / RUNS).glob("*") if (place / _SETTINGS).is_file()]
    unfinished = [place for place in runs if not (weights / place.name).exists()]
    return sorted(unfinished, key=lambda place: (place / _SETTINGS).stat().st_mtime)


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
    began = time.perf_counter()
    for _ in range(5):
        matrix @ matrix
    return 5 * 2 * 1024**3 / (time.perf_counter() - began)
