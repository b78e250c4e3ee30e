"""`history.csv` and `curve.png`: how a run went."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLUMNS: Final = ("epoch", "train_bits_per_character", "valid_bits_per_character", "learning_rate", "seconds")
_INCHES: Final = (6.0, 4.5)
_DOTS_PER_INCH: Final = 160
"""960 × 720 pixels with 13-point type: readable on a phone held upright."""

History = Sequence[dict[str, float]]


def history_csv(history: History) -> bytes:
    """One line per epoch; training figures are with dropout, validation figures of the served form without."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({name: f"{row[name]:.6g}" for name in COLUMNS})
    return text.getvalue().encode("utf-8")


def curve_png(history: History, best_epoch: int, title: str) -> bytes:
    """Training and validation bits per character over epochs, the kept epoch marked."""
    figure = Figure(_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in history]
    trained = [row["train_bits_per_character"] for row in history]
    validated = [row["valid_bits_per_character"] for row in history]
    kept = validated[best_epoch - 1]
    axes.plot(epochs, trained, "o-", color="#8a8a8a", linewidth=2, markersize=4, label="training")
    axes.plot(epochs, validated, "o-", color="#a3341f", linewidth=3, markersize=5, label="validation")
    axes.plot([best_epoch], [kept], "o", color="#a3341f", markersize=13, fillstyle="none", markeredgewidth=2)
    axes.annotate(
        f"{kept:.3f}", (best_epoch, kept), (0, 16), textcoords="offset points", ha="center", fontsize=15, weight="bold"
    )
    # The first epochs are far above everything that is worth seeing.
    axes.set_ylim(min(*trained, *validated) - 0.08, min(max(validated), kept + 1.2) + 0.08)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=13)
    axes.set_xlabel("epoch", fontsize=14)
    axes.set_ylabel("bits per character", fontsize=14)
    axes.set_title(title, fontsize=14)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=14, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
