"""What training prints on standard error: the progress bar, figures and samples of each epoch, the result."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from generator.prose import printable
from generator.training.checkpoint import TrainingState
from generator.types import Surprisal
from generator.weights.manifest import Manifest

console = Console(stderr=True, highlight=False)


def show(line: str) -> None:
    """Prints a line, above the bar if there is one. Whole: a path or command that is broken cannot be copied."""
    console.print(line, markup=False, soft_wrap=True)


class TrainingBar(Progress):
    """The bar over all epochs, shown while it is entered; `done` epochs were trained before.

    A step reads so many `characters`.
    """

    def __init__(self, per_epoch: int, epochs: int, done: int, characters: int) -> None:
        super().__init__(console=console, speed_estimate_period=60)
        self._characters = characters
        self._epoch, self._epochs = done + 1, epochs
        self._task = self.add_task(f"epoch {self._epoch}", total=per_epoch * epochs, completed=per_epoch * done)

    def step_done(self, bits: float) -> None:
        """Advances by one training step; `bits` per character so far in this epoch."""
        speed = (self.tasks[0].speed or 0) * self._characters
        line = f"epoch {self._epoch}: {bits:.3f} bits/character, {speed:,.0f} characters/s"
        self.update(self._task, advance=1, description=line)

    def epoch_done(self, state: TrainingState, prompt: str, texts: Mapping[float, Surprisal]) -> None:
        """Prints the figures of the last epoch, and the samples by their temperatures."""
        row = state.history[-1]
        lowest = min(each.valid_bits_per_character for each in state.history)
        best = " (best so far)" if row.valid_bits_per_character == lowest else ""
        accuracy = "" if row.train_accuracy is None else f" ({row.train_accuracy:.1%} right)"
        show(
            f"epoch {row.epoch}/{self._epochs}: training {row.train_bits_per_character:.4f}{accuracy}, "
            f"validation {row.valid_bits_per_character:.4f} bits/character{best}, {row.seconds:.0f} s"
        )
        lines = Text(f"      {' '.join(printable(prompt).split())}\n", style="dim")
        for temperature, sample in texts.items():
            lines.append(f"{temperature:<5} ", style="not dim bold")
            lines.append(f"{' '.join(printable(sample.text).split())}\n", style="not dim")
        console.print(lines, soft_wrap=True)
        self._epoch = row.epoch + 1


def print_result(manifest: Manifest) -> None:
    """Prints the table that a run ends with."""
    table = Table("split", "float", "served (int8)", "lost", title=f"{manifest.version}: bits per character")
    for split, name in (("valid", "validation"), ("test", "test")):
        floating = manifest.metrics[f"float_{split}_bits_per_character"]
        served = manifest.metrics[f"{split}_bits_per_character"]
        table.add_row(name, f"{floating:.4f}", f"{served:.4f}", f"{served - floating:+.4f}")
    console.print(table)
