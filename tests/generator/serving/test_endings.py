"""Where a text begins and ends in other scripts, in verse, chats and code: a network that writes what the test says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from msgspec import structs

from generator import Continuation, GenerationRequest
from generator.serving.constraints import WritingRules
from generator.serving.loading import generate
from generator.serving.model import Model
from generator.serving.state import SavedState
from generator.vocabulary import Vocabulary
from generator.weights.session import Logits, State, StateRow
from generator.weights.versions import Weights, load_weights


class Scripted:
    """A network without state that wants to write a text, over and over, and knows no other characters."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._wanted = vocabulary.encode(text)
        self._written = 0
        self.symbols, self.specs = len(vocabulary), ()

    def zero_state(self, _: int) -> State:
        return []

    def zero_row(self) -> StateRow:
        return ()

    def step(self, characters: Any, _: Sequence[Any]) -> tuple[Logits, State]:
        logits = np.zeros((len(characters), self.symbols), np.float32)
        logits[:, self._wanted[self._written % len(self._wanted)]] = 40.0
        self._written += 1
        return logits, []


def write(weights: Weights, text: str, length: int, *, hard_wrapped: bool = False, ends_at_lines: bool = False) -> str:
    vocabulary = Vocabulary.of(text + "\n ")
    manifest = structs.replace(weights.manifest, vocabulary=vocabulary)
    rules = WritingRules(vocabulary, hard_wrapped=hard_wrapped, ends_at_lines=ends_at_lines)
    network: Any = Scripted(text, vocabulary)
    model = Model(Weights(weights.folder, manifest), network, rules, (SavedState((), "\n"),))
    [written] = generate(model, [GenerationRequest(length, seed=1)])
    return written.text


def test_a_network_without_state_continues_a_text_inside_its_sentence(weights: Weights) -> None:
    vocabulary = Vocabulary.of("ab cd AB. ")
    model = Model(
        Weights(weights.folder, structs.replace(weights.manifest, vocabulary=vocabulary)),
        cast(Any, Scripted("ab", vocabulary)),
        WritingRules(vocabulary),
        (SavedState((), " "),),
    )
    saved = SavedState((), " ").to_bytes(model.id)
    for state in (saved, b""):
        [continued] = generate(model, [GenerationRequest(12, seed=1, continuation=Continuation(state, "cd"))])
        assert continued.text[1].islower()


@pytest.fixture
def weights(tiny_folder: Path) -> Weights:
    return load_weights(tiny_folder)


@pytest.mark.parametrize(
    ("text", "length", "written"),
    [
        ("曾子曰：「吾日三省，不亦說乎？」有朋。" * 3, 30, "曾子曰：「吾日三省，不亦說乎？」"),
        ("道可道，非常道。名可名，非常名。", 30, "道可道，非常道。名可名，非常名。"),
        ("वह ग्रह है। वह कौन है? ", 30, "वह ग्रह है। वह कौन है?"),
        ("Вот так «он сказал.» И ушёл. ", 30, "Вот так «он сказал.»"),
        ("สวัสดีชาวโลก ดาวพุธเป็นดาวเคราะห์ ", 20, "สวัสดีชาวโลก"),
    ],
    ids=["closing mark", "Chinese", "Hindi", "Russian", "Thai, which has no marks"],
)
def test_a_text_ends_with_a_sentence_of_its_script(text: str, length: int, written: str, weights: Weights) -> None:
    assert write(weights, text, length) == written


def test_code_may_repeat_words_that_prose_may_not(weights: Weights) -> None:
    code = "for i in range(n):\n  do a[i]\n  end\nend\nfor i in range(n):\n  do b[i]\n  end\nend\n"
    assert write(weights, code, 92, ends_at_lines=True) == code.removesuffix("\n  end\nend\n")
    assert not code.startswith(write(weights, code, 92))
    loop = "end\nof all that is the end of the line here\n"
    assert not (loop * 9).startswith(write(weights, loop, 300, ends_at_lines=True)), "eight may not"


def test_code_keeps_its_indents_and_empty_lines_and_ends_with_a_line(weights: Weights) -> None:
    code = "def f(x):\n    if x > 0:\n        return 2\n\n\nprint(f(1))\n"
    assert write(weights, code, 82, ends_at_lines=True) == code.removesuffix("\n")


def test_verse_ends_with_a_line_and_not_in_it_where_a_sentence_ends(weights: Weights) -> None:
    verse = "Sing, heavenly Muse. That on the top\nOf Oreb or of Sinai\n"
    assert write(weights, verse, 50, ends_at_lines=True) == "Sing, heavenly Muse. That on the top"
    assert write(weights, verse, 50) == "Sing, heavenly Muse."


def test_a_list_may_begin_its_lines_with_numbers(weights: Weights) -> None:
    rows = '1,"a cat."\n2,"a mat."\n3,"all."\n'
    assert write(weights, rows, 60, ends_at_lines=True).startswith(rows[:24])
