"""The split on which a figure for this corpus was published: lower-cased, the last fifth held out.

    python -m benchmarks.published_split --corpus nietzsche.txt --write FILE     the first four fifths, to train on
    python -m benchmarks.published_split --corpus nietzsche.txt VERSION          bits per character of the last fifth

fast.ai's course of 2017 (dl1, lesson 6) reached 1.822 there with two LSTM layers. `train.py --corpus FILE` splits its
four fifths once more, so that no choice is made by looking at the last one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from generator.serving.loading import load_model
from generator.serving.scoring import bits_per_character
from generator.training.corpus import read_corpus


def main() -> int:
    """Writes the text, or prints the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, metavar="FILE")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--write", type=Path, metavar="FILE")
    asked.add_argument("version", type=Path, nargs="?", metavar="VERSION", help="a folder of weights")
    arguments = parser.parse_args()

    text = read_corpus(arguments.corpus).text.lower()
    cut = int(len(text) * 0.8)
    if arguments.write:
        arguments.write.write_text(text[:cut], encoding="utf-8")
        print(f"{arguments.write}: {cut:,} characters; now train.py --corpus {arguments.write} --from-scratch")
        return 0
    model = load_model(arguments.version.parent, arguments.version.name)
    vocabulary = model.weights.manifest.vocabulary
    held_out = "".join(character for character in text[cut:] if character in vocabulary)
    unknown = len(text) - cut - len(held_out)
    left_out = f"; {unknown} that it has no symbol for are left out" if unknown else ""
    figure = bits_per_character(model.network, vocabulary.encode(held_out))
    print(f"{arguments.version.name}: {figure:.4f} bits per character over the last {len(held_out):,}{left_out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
