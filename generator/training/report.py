"""`history.csv` and `curve.png`: how a run went, and samples of its result."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from matplotlib import font_manager, rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from PIL import Image

from generator.scoring import heatmap
from generator.training.checkpoint import Epoch, TrainingState
from generator.types import Surprisal

_DOTS_PER_INCH: Final = 160
_INCHES: Final = (heatmap.WIDTH / _DOTS_PER_INCH, 4.2)
"""1080 × 672 pixels with 14-point type: readable on a phone held upright."""
_TICKS: Final = 8
_NEAR: Final = 0.15
"""A share of the epochs, at the sides of the frame, in which a label would reach over it."""
_STRONG: Final = "#a3341f"
_GRAY: Final = "#8a8a8a"


def history_csv(history: Sequence[Epoch]) -> bytes:
    """Returns one line per epoch; training figures are with dropout, validation figures of the served form without.

    `train_accuracy` is among them only if the preset reports it.
    """
    columns = [name for name in Epoch.__struct_fields__ if name != "characters"]
    columns = [name for name in columns if all(getattr(row, name) is not None for row in history)]
    lines = [columns, *([f"{getattr(row, name):.6g}" for name in columns] for row in history)]
    return "".join(",".join(line) + "\n" for line in lines).encode()


def curve_png(
    state: TrainingState,
    texts: Sequence[tuple[str, Surprisal]],
    pretraining: Sequence[Epoch] = (),
    *,
    hard_wrapped: bool,
) -> bytes:
    """Draws training and validation bits per character over epochs, the kept epoch marked; below it texts, shaded.

    The epochs of pretraining come first. Without texts, it is the curve alone. `texts` and `hard_wrapped` as in
    `heatmap.draw`.
    """
    font_manager.fontManager.addfont(heatmap.FONT)  # the font of the texts below
    family = font_manager.FontProperties(fname=heatmap.FONT).get_name()
    with rc_context({"font.family": [family, "sans-serif"], "font.size": 15, "axes.titlesize": 15}):
        content = io.BytesIO()
        _figure([*pretraining, *state.history], len(pretraining), state.best_epoch).savefig(content)
    if not texts:
        return content.getvalue()
    curves = Image.open(content).convert("RGB")
    shaded = heatmap.draw(texts, hard_wrapped=hard_wrapped)
    picture = Image.new("RGB", (heatmap.WIDTH, curves.height + shaded.height), heatmap.PAPER)
    picture.paste(curves, (0, 0))
    picture.paste(shaded.convert("RGB"), (0, curves.height))
    # A palette makes the file a third of the size; every shipped version adds one to the repository.
    return heatmap.png(picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))


def _figure(rows: list[Epoch], before: int, best_epoch: int) -> Figure:
    """The first `before` rows are of pretraining."""
    paper = f"#{bytes(heatmap.PAPER).hex()}"
    margins = ConstrainedLayoutEngine(rect=(0.03, 0.0, 0.93, 0.96))
    figure = Figure(_INCHES, dpi=_DOTS_PER_INCH, layout=margins, facecolor=paper)
    axes = figure.add_subplot(facecolor=paper)
    epochs = list(range(1, len(rows) + 1))
    trained = [row.train_bits_per_character for row in rows]
    validated = [row.valid_bits_per_character for row in rows]
    kept, kept_epoch = validated[before + best_epoch - 1], before + best_epoch
    for part in (slice(0, before), slice(before, None)):
        (gray,) = axes.plot(epochs[part], trained[part], "o-", color=_GRAY, linewidth=2, markersize=4)
        (red,) = axes.plot(epochs[part], validated[part], "o-", color=_STRONG, linewidth=3, markersize=5)
    axes.plot([kept_epoch], [kept], "o", color=_STRONG, markersize=13, fillstyle="none", markeredgewidth=2)
    # Below the curve, where no line is; inside the frame near its sides.
    share = kept_epoch / len(rows)
    side = "left" if share <= _NEAR else "right" if share > 1 - _NEAR else "center"
    axes.annotate(f"{kept:.3f}", (kept_epoch, kept), (0, -30), textcoords="offset points", ha=side, fontsize=18)
    # The first epochs are far above the rest, and are cut off.
    lowest, highest = min(*trained, *validated), min(max(*trained, *validated), kept + 1.2)
    room = 0.12 * (highest - lowest) + 0.02
    side_room = max(0.5, 0.025 * len(rows))
    axes.set(xlim=(1 - side_room, len(rows) + side_room), ylim=(lowest - 2 * room, highest + room))
    axes.set(xlabel="epoch", ylabel="bits per character", title="How hard the next character is to predict")
    if before:
        # Between the legend and the names of the two parts.
        axes.axvline(before + 0.5, 0.1, 0.75, color=_GRAY, linewidth=1, linestyle=":")
        # From the sides of the frame: either part may be narrower than its name.
        for x, side, text in ((0.02, "left", "pretraining"), (0.98, "right", "fine-tuning")):
            axes.text(x, 0.03, text, transform=axes.transAxes, ha=side, color=_GRAY, fontsize=13)
    axes.set_xticks(_ticks(len(rows), kept_epoch))
    axes.tick_params(labelsize=14)
    axes.grid(alpha=0.25)
    axes.legend([gray, red], ["in the training text, with dropout", "in a text it never saw"], frameon=False)
    return figure


def _ticks(epochs: int, kept: int) -> list[int]:
    """Returns epochs at even distances, and the kept one in place of those next to it."""
    even = [round(tick) for tick in MaxNLocator(_TICKS, integer=True).tick_values(1, epochs) if 1 <= tick <= epochs]
    step = even[1] - even[0] if len(even) > 1 else 1
    return sorted({tick for tick in even if abs(tick - kept) > step / 2} | {kept})
