"""What a run found: figures by name, and rows with what is wanted beside what was measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.service.people import Answer, Kind

_WIDTHS: Final = (48, 21, 40)


@dataclass
class Table:
    """`figures` as `--json` writes them."""

    figures: dict[str, float] = field(default_factory=dict)

    def add(self, what: str, wanted: str, seen: str, rest: str = "") -> None:
        """Prints a row."""
        cells = [cell.ljust(width) for cell, width in zip((what, wanted, seen), _WIDTHS, strict=True)]
        print(" ".join([*cells, rest]).rstrip(), flush=True)

    def add_waits(self, name: str, what: str, wanted: str, answers: Sequence[Answer], seconds: float) -> None:
        """Adds the latencies of texts and of refusals, and their rates over `seconds`."""
        texts, refusals = (waits(answers, kind) for kind in (Kind.TEXT, Kind.REFUSAL))
        silent = len(answers) - len(texts) - len(refusals)
        self.figures |= {
            f"{name}_asked_per_second": len(answers) / seconds,
            f"{name}_texts_per_second": len(texts) / seconds,
            f"{name}_refused_per_second": len(refusals) / seconds,
            f"{name}_unanswered": silent,
        }
        for kind, found in (("text", texts), ("refusal", refusals)):
            if found:
                self.figures[f"{name}_{kind}_median_seconds"] = statistics.median(found)
                self.figures[f"{name}_{kind}_p99_seconds"] = percentile(found, 0.99)
        rest = f"{len(texts) / seconds:.1f} texts/s"
        if texts:
            self.figures["characters_per_text"] = statistics.mean(a.characters for a in answers if a.kind is Kind.TEXT)
            rest += f" of {self.figures['characters_per_text']:.0f} characters"
        rest += f", {silent} unanswered" if silent else ""
        self.add(what, wanted, _spread(texts), rest)
        if refusals:
            self.add("  refusals", "", _spread(refusals), f"{len(refusals) / seconds:.1f} a second")


def waits(answers: Sequence[Answer], kind: Kind) -> list[float]:
    """Returns latencies in seconds, in rising order."""
    return sorted(answer.wait for answer in answers if answer.kind is kind)


def percentile(rising: Sequence[float], share: float) -> float:
    """Returns the smallest number that at least `share` of them do not exceed."""
    return rising[math.ceil(share * len(rising)) - 1]


def _spread(rising: Sequence[float]) -> str:
    if not rising:
        return "none"
    return f"median {statistics.median(rising):.3f} s, 99th {percentile(rising, 0.99):.3f} s"
