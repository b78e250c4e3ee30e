"""How many of a version's sentences parse, beside those of the book: what Link Grammar takes for whole sentences.

    python -m benchmarks.parses [--corpus nietzsche.txt] [--weights FOLDER] [--version NAME] [--texts 300]

Needs `link-parser` (https://opencog.github.io/link-grammar-website; on Debian, `apt install link-grammar`). A sentence
parses when a linkage takes in all its words; only those of 5 to 25 words are counted, since it needs too long for
others. Brackets and quotation marks are taken out before. The texts are those of `generate` with seeds 1, 2, …, 500
characters each, and the last sentence of each, which has help to end, is left out.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from generator.prose import presentable
from generator.serving.loading import generate, load_model
from generator.serving.model import Model
from generator.types import GenerationRequest
from generator.weights.versions import shipped_folder

LENGTH: Final = 500
SHORTEST, LONGEST = 5, 25
"""Words."""
_PARSER: Final = ("link-parser", "en", "-batch", "-timeout=8", "-limit=50", "-graphics=0")
_SENTENCE_END: Final = re.compile(r"""(?<=[.!?]["”)])\s+|(?<=[.!?])\s+(?=["“(]?[A-Z])""")
_TAKEN_OUT: Final = str.maketrans({"(": ", ", ")": ",", **dict.fromkeys('"“”_=[]*!%', "")})


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints a line for the version and one for the corpus."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parses", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--corpus", type=Path, metavar="FILE")
    parser.add_argument("--weights", type=Path, default=shipped_folder(), metavar="FOLDER")
    parser.add_argument("--version", metavar="NAME", help="default: what CURRENT names")
    parser.add_argument("--texts", type=int, default=300)
    arguments = parser.parse_args(argv)
    if not shutil.which(_PARSER[0]):
        parser.error("link-parser is not installed; on Debian: apt install link-grammar")
    model = load_model(arguments.weights, arguments.version)
    found = {model.weights.manifest.version: written(model, arguments.texts)}
    if arguments.corpus:
        found[arguments.corpus.name] = re.split(r"\n\n+", arguments.corpus.read_text(encoding="utf-8"))
    for name, texts in found.items():
        chosen = sentences(texts)
        share = parsed(chosen) / len(chosen)
        margin = 1.96 * (share * (1 - share) / len(chosen)) ** 0.5
        print(f"{name:<24}{share:6.1%} of {len(chosen)} sentences parse (± {margin:.1%})", flush=True)
    return 0


def written(model: Model, number: int) -> list[str]:
    """Returns texts of the bot, at its defaults."""
    texts = generate(model, [GenerationRequest(LENGTH, seed) for seed in range(1, number + 1)])
    hard_wrapped = model.weights.manifest.hard_wrapped
    return [presentable(text.text, hard_wrapped=hard_wrapped) for text in texts]


def sentences(texts: Iterable[str]) -> list[str]:
    """Returns the sentences of a length that is counted, each on one line; but not the last one of a text."""
    split = [_SENTENCE_END.split(" ".join(text.split()))[:-1] for text in texts]
    return [each for some in split for each in some if SHORTEST <= len(each.split()) <= LONGEST]


def parsed(chosen: Sequence[str]) -> int:
    """Returns how many sentences the parser takes in whole."""
    lines = "".join(sentence.replace("--", " - ").translate(_TAKEN_OUT) + "\n" for sentence in chosen)
    done = subprocess.run(_PARSER, input=lines, capture_output=True, text=True, check=True)
    return len(chosen) - len(re.findall(r"^\+{5} error", done.stdout, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
