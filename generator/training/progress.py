"""What training prints on standard error: the progress bar, figures and samples of each epoch, the result."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from generator.training.checkpoint import TrainingState
from generator.weights.manifest import Manifest

_console = Console(stderr=True, highlight=False)


def show(line: str) -> None:
    """Prints a line, above the bar if there is one."""
    _console.print(line, markup=False)


class TrainingBar(Progress):
    """The bar over all epochs, shown while it is entered; `done` epochs were trained before."""

    def __init__(self, per_epoch: int, epochs: int, done: int) -> None:
        super().__init__(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=_console,
        )
        self._epochs = epochs
        self._task = self.add_task("", total=per_epoch * epochs, completed=per_epoch * done, epoch=done + 1, loss="")

    def step_done(self, bits: float) -> None:
        """Advances by one training step; `bits` per character so far in this epoch."""
        self.update(self._task, advance=1, loss=f"{bits:.3f} bits/character")

    def epoch_done(self, state: TrainingState, prompt: str, texts: Mapping[float, str]) -> None:
        """Prints the figures of the last epoch, and the samples by their temperatures."""
        row = state.history[-1]
        kept = " (best so far)" if state.best_epoch == row.epoch else ""
        accuracy = "" if row.train_accuracy is None else f" ({row.train_accuracy:.1%} right)"
        show(
            f"epoch {row.epoch}/{self._epochs}: training {row.train_bits_per_character:.4f}{accuracy}, "
            f"validation {row.valid_bits_per_character:.4f} bits/character{kept}, {row.seconds:.0f} s"
        )
        lines = Text(f"      {_one_line(prompt)}\n", style="dim")
        for temperature, text in texts.items():
            lines.append(f"{temperature:<5} ", style="not dim bold").append(f"{_one_line(text)}\n", style="not dim")
        _console.print(lines)
        self.update(self._task, epoch=min(row.epoch + 1, self._epochs))


def measuring() -> AbstractContextManager[object]:
    """Shows a spinner while the result is measured."""
    return _console.status("measuring validation and test, float and served")


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


def _one_line(text: str) -> str:
    return " ".join(text.split())
