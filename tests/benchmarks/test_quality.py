"""What `benchmarks.quality` counts as copied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality import LONG_RUN, longest_copies, share_copied

CORPUS = "".join(f"{number} bottles stand on the wall, and one more. " for number in range(50))


@given(st.text("ab", max_size=30), st.text("ab", max_size=60))
def test_the_longest_copies_are_those_that_trying_every_length_finds(text: str, corpus: str) -> None:
    expected = [
        max(length for length in range(len(text) - start + 1) if text[start : start + length] in corpus)
        for start in range(len(text))
    ]
    assert longest_copies(text, corpus) == expected


def test_a_text_is_copied_as_far_as_long_runs_of_it_reach() -> None:
    copied = CORPUS[100:200]
    own = "~" * 100
    assert share_copied(longest_copies(own + copied, CORPUS)) == 0.5
    assert share_copied(longest_copies(copied[: LONG_RUN - 1] + own, CORPUS)) == 0.0
    assert share_copied(longest_copies(CORPUS, CORPUS)) == 1.0
