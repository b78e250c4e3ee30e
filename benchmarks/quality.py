"""Quality of a version's texts: bits per character, real words, and how much is copied from the corpus.

    python -m benchmarks.quality --corpus nietzsche.txt [--english FILE…] [--version NAME] [--json FILE]

A "real word" occurs in the corpus or in one of the `--english` files; it is counted in 32 texts of 600 characters after
"The philosopher ", at temperatures 0.5, 0.7 and 0.8. Copied is what stands in the corpus character for character; the
longest such run is searched in each of 100 texts of 500 characters at 0.7, and a text is "mostly copied" when runs of
at least 40 characters cover more than half of it. The texts are drawn straight from the network, with none of the
bot's rules about text.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from generator.serving.loading import load_model
from generator.serving.model import Model
from generator.serving.scoring import bits_per_character
from generator.training.corpus import read_corpus
from generator.training.samples import samples
from generator.weights.versions import shipped_folder

PROMPT: Final = "The philosopher "
WORD_TEXTS: Final = 32
WORD_LENGTH: Final = 600
WORD_TEMPERATURES: Final = (0.5, 0.7, 0.8)
COPY_TEXTS: Final = 100
COPY_LENGTH: Final = 500
COPY_TEMPERATURE: Final = 0.7
LONG_RUN: Final = 40
"""Characters: a copied run that a reader would recognise, about seven words."""
SEED: Final = 1
_WORD: Final = re.compile(r"[^\W\d_]+")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints one table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--corpus", type=Path, required=True, metavar="FILE")
    parser.add_argument("--english", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--weights", type=Path, default=shipped_folder(), metavar="FOLDER")
    parser.add_argument("--version", metavar="NAME", help="default: what CURRENT names")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    model = load_model(arguments.weights, arguments.version)
    corpus = read_corpus(arguments.corpus)
    known = words(corpus.text)
    for path in arguments.english:
        known |= words(read_corpus(path).text)

    results: dict[str, float] = {}
    _, validation, test = corpus.splits
    for name, split in (("validation", validation), ("test", test)):
        results[f"{name}_bits_per_character"] = bits_per_character(model.network, split)
    for temperature in WORD_TEMPERATURES:
        texts = drawn(model, WORD_TEXTS, WORD_LENGTH, temperature)
        # The last word may be cut off.
        written = [word for text in texts for word in _WORD.findall(text[: text.rfind(" ")].lower())]
        results[f"real_words_{temperature}"] = sum(word in known for word in written) / len(written)
    texts = drawn(model, COPY_TEXTS, COPY_LENGTH, COPY_TEMPERATURE)
    copied = [longest_copies(text, corpus.text) for text in texts]
    longest = [max(runs) for runs in copied]
    shares = [share_copied(runs) for runs in copied]
    results |= {
        "longest_copied_run_median": statistics.median(longest),
        "longest_copied_run_worst": max(longest),
        "largest_share_copied": max(shares),
        "mostly_copied_texts": sum(share > 0.5 for share in shares),
    }
    print(f"{model.weights.manifest.version} on {corpus.note.name}, seed {SEED}")
    for what, figure in results.items():
        print(f"{what.replace('_', ' '):<34}{figure:>9.5g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def words(text: str) -> set[str]:
    """Returns the words of a text, in lower case."""
    return set(_WORD.findall(text.lower()))


def drawn(model: Model, rows: int, length: int, temperature: float) -> list[str]:
    """Samples texts after `PROMPT`, in one batch."""
    random = np.random.default_rng(SEED)
    vocabulary = model.weights.manifest.vocabulary
    written = samples(model.network, vocabulary, PROMPT, [temperature] * rows, random, length=length)
    return [sample.text for sample in written]


def longest_copies(text: str, corpus: str) -> list[int]:
    """Returns, for each place of the text, how many characters from there on stand in the corpus in one run."""
    lengths = []
    end = 0
    for start in range(len(text)):
        # A run from here reaches at least as far as the one that began a character earlier.
        end = max(end, start)
        while end < len(text) and text[start : end + 1] in corpus:
            end += 1
        lengths.append(end - start)
    return lengths


def share_copied(lengths: Sequence[int]) -> float:
    """Returns the share of a text in runs of at least `LONG_RUN` characters, from the result of `longest_copies`."""
    covered = 0
    reached = 0
    for start, length in enumerate(lengths):
        if length >= LONG_RUN:
            covered += start + length - max(start, reached)
            reached = start + length
    return covered / len(lengths)


if __name__ == "__main__":
    sys.exit(main())
