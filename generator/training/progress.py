"""What a person who trains sees: the plan, the bar, each epoch's figures and samples, the result. On standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from generator.training.checkpoint import Progress as RunProgress
from generator.training.presets import Preset, Reading
from generator.vocabulary import Vocabulary
from generator.weights.versions import Manifest, load_weights

_console = Console(stderr=True, highlight=False)


def plan(preset: Preset, dtype: str, folder: Path) -> None:
    """What is about to be trained, and where its checkpoints go."""
    _say(f"{preset.name}: {preset.description}; {dtype}; checkpoints in {folder}")


def start(version: Path, vocabulary: Vocabulary) -> None:
    """Which version the run starts from, and what of the text is new to it."""
    known = load_weights(version.parent, version.name).manifest.vocabulary
    new = [character for character in vocabulary.characters if character not in known]
    _say(f"starts from {version.name}, which can spell already" + (f"; new to it: {' '.join(new)}" if new else ""))


def reading(characters: int, preset: Preset, how: Reading, per_epoch: int, seconds: float) -> None:
    """What is about to be read, and how long that takes if it is all read, in `seconds`."""
    times = f"up to {how.epochs} times" if how.patience else f"{how.epochs} times"
    _say(f"reads {characters:,} characters {times}, in {per_epoch} steps of {preset.batch} × {preset.steps}")
    less = f"; less when {how.patience} epochs bring nothing better" if how.patience else ""
    _say(f"takes about {_duration(seconds)} on this machine{less}")


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


@contextlib.contextmanager
def download_bar() -> Iterator[Callable[[int, int | None], None]]:
    """A bar that is told the bytes so far and the bytes in all, where they are known."""
    columns = (TextColumn("downloading nietzsche.txt"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class TrainingBar:
    """The bar over all epochs, with what is printed above it."""

    def __init__(self, bar: Progress, per_epoch: int, epochs: int, done: int) -> None:
        self._bar = bar
        self._epochs = epochs
        self._task = bar.add_task("", total=per_epoch * epochs, completed=per_epoch * done, epoch=done + 1, loss="")

    def step(self, bits: float) -> None:
        """One training step more; `bits` per character so far in this epoch."""
        self._bar.update(self._task, advance=1, loss=f"{bits:.3f} bits/character")

    def epoch_done(
        self, progress: RunProgress, prompt: str, texts: Sequence[str], temperatures: Sequence[float]
    ) -> None:
        """The epoch's figures, and a sample at each temperature."""
        row = progress.history[-1]
        epoch = int(row["epoch"])
        kept = " (best so far)" if progress.best_epoch == epoch else ""
        accuracy = f" ({row['train_accuracy']:.1%} right)" if "train_accuracy" in row else ""
        _say(
            f"epoch {epoch}/{self._epochs}: training {row['train_bits_per_character']:.4f}{accuracy}, "
            f"validation {row['valid_bits_per_character']:.4f} bits/character{kept}, {row['seconds']:.0f} s"
        )
        lines = Text(f"      {_one_line(prompt)}\n", style="dim")
        for temperature, text in zip(temperatures, texts, strict=True):
            lines.append(f"{temperature:<5} ", style="not dim bold").append(f"{_one_line(text)}\n", style="not dim")
        _console.print(lines)
        self._bar.update(self._task, epoch=min(epoch + 1, self._epochs))

    def stopped(self, progress: RunProgress) -> None:
        """Training ends early."""
        _say(f"validation has not improved since epoch {progress.best_epoch}: that one is kept")
        self._bar.update(self._task, visible=False)


@contextlib.contextmanager
def training_bar(per_epoch: int, epochs: int, done: int) -> Iterator[TrainingBar]:
    """The bar; `done` epochs were trained before."""
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=_console) as bar:
        yield TrainingBar(bar, per_epoch, epochs, done)


def measuring(what: str) -> contextlib.AbstractContextManager[object]:
    """A sign of life while something is measured."""
    return _console.status(f"measuring {what}")


def result(manifest: Manifest) -> None:
    """The table that a run ends with."""
    table = Table(title=f"{manifest.version}: bits per character")
    for column in ("split", "float", "served (int8)", "lost"):
        table.add_column(column, justify="right")
    for split, name in (("valid", "validation"), ("test", "test")):
        floating = manifest.metrics[f"float_{split}_bits_per_character"]
        served = manifest.metrics[f"{split}_bits_per_character"]
        table.add_row(name, f"{floating:.4f}", f"{served:.4f}", f"{served - floating:+.4f}")
    _console.print(table)


def _say(line: str) -> None:
    _console.print(line, markup=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())
