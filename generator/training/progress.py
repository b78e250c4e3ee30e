"""What training prints on standard error: the plan, the progress bar, figures and samples of each epoch, the result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from generator.training.presets import Preset, TrainingConfig
from generator.training.run import Run, duration
from generator.vocabulary import Vocabulary
from generator.weights.manifest import Manifest
from generator.weights.versions import load_weights

if TYPE_CHECKING:
    from generator.training.checkpoint import TrainingState  # loads TensorFlow

_console = Console(stderr=True, highlight=False)
_SHOWN_SYMBOLS: Final = 12


def print_run(run: Run) -> None:
    """Prints what is about to be trained, and where its checkpoints go."""
    _print(f"{run.preset.name}: {run.preset.description}; {run.settings.dtype}; checkpoints in {run.folder}")


def print_start(version: Path, vocabulary: Vocabulary) -> None:
    """Prints which version the run starts from, and which characters of the text are new to it."""
    known = load_weights(version.parent, version.name).manifest.vocabulary
    new = [character for character in vocabulary.characters if character not in known]
    more = f" … ({len(new):,} of {len(vocabulary):,})" if len(new) > _SHOWN_SYMBOLS else ""
    shown = " ".join(new[:_SHOWN_SYMBOLS]) + more
    _print(f"starts from {version.name}" + (f"; characters new to it: {shown}" if new else ""))


def print_stage(characters: int, preset: Preset, config: TrainingConfig, per_epoch: int, seconds: float) -> None:
    """Prints what is about to be read, and how long all of it takes, in `seconds`."""
    times = f"up to {config.epochs} times" if config.patience else f"{config.epochs} times"
    if config.order == "once":
        times = f"once, in {config.epochs} parts"
    _print(f"reads {characters:,} characters {times}, in {per_epoch} steps of {preset.batch} × {preset.steps}")
    less = f"; less if validation does not improve for {config.patience} epochs" if config.patience else ""
    _print(f"takes about {duration(seconds)} on this machine{less}")


@contextlib.contextmanager
def download_bar() -> Iterator[Callable[[int, int | None], None]]:
    """Shows a bar; gives a function that takes the bytes so far and the total, if it is known."""
    columns = (TextColumn("downloading nietzsche.txt"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class TrainingBar:
    """The bar over all epochs, and what is printed above it."""

    def __init__(self, bar: Progress, per_epoch: int, epochs: int, done: int) -> None:
        self._bar = bar
        self._epochs = epochs
        self._task = bar.add_task("", total=per_epoch * epochs, completed=per_epoch * done, epoch=done + 1, loss="")

    def step(self, bits: float) -> None:
        """Advances by one training step; `bits` per character so far in this epoch."""
        self._bar.update(self._task, advance=1, loss=f"{bits:.3f} bits/character")

    def epoch_done(
        self, state: TrainingState, prompt: str, texts: Sequence[str], temperatures: Sequence[float]
    ) -> None:
        """Prints the figures of the epoch, and a sample at each temperature."""
        row = state.history[-1]
        kept = " (best so far)" if state.best_epoch == row.epoch else ""
        accuracy = "" if row.train_accuracy is None else f" ({row.train_accuracy:.1%} right)"
        _print(
            f"epoch {row.epoch}/{self._epochs}: training {row.train_bits_per_character:.4f}{accuracy}, "
            f"validation {row.valid_bits_per_character:.4f} bits/character{kept}, {row.seconds:.0f} s"
        )
        lines = Text(f"      {_one_line(prompt)}\n", style="dim")
        for temperature, text in zip(temperatures, texts, strict=True):
            lines.append(f"{temperature:<5} ", style="not dim bold").append(f"{_one_line(text)}\n", style="not dim")
        _console.print(lines)
        self._bar.update(self._task, epoch=min(row.epoch + 1, self._epochs))

    def stopped(self, state: TrainingState) -> None:
        """Prints that training stops early."""
        _print(f"validation has not improved since epoch {state.best_epoch}: that one is kept")
        self._bar.update(self._task, visible=False)


@contextlib.contextmanager
def training_bar(per_epoch: int, epochs: int, done: int) -> Iterator[TrainingBar]:
    """Shows the bar; `done` epochs were trained before."""
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
    """Shows a spinner while something is measured."""
    return _console.status(f"measuring {what}")


def print_result(manifest: Manifest) -> None:
    """Prints the table that a run ends with."""
    table = Table(title=f"{manifest.version}: bits per character")
    for column in ("split", "float", "served (int8)", "lost"):
        table.add_column(column, justify="right")
    for split, name in (("valid", "validation"), ("test", "test")):
        floating = manifest.metrics[f"float_{split}_bits_per_character"]
        served = manifest.metrics[f"{split}_bits_per_character"]
        table.add_row(name, f"{floating:.4f}", f"{served:.4f}", f"{served - floating:+.4f}")
    _console.print(table)


def _print(line: str) -> None:
    _console.print(line, markup=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())
