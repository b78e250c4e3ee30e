"""Which sentences `benchmarks.parses` counts."""

from __future__ import annotations

import pytest

from benchmarks.parses import main, sentences


def test_sentences_are_whole_and_of_a_length_that_the_parser_can_take() -> None:
    text = """He said, "I am a man of the world." (And so he was, as we all know.) Too short. "What, then,
        is it that we want?" he asked!--as if this were a question of the day for all who can read and write, who think
        of nothing else from morning to night, and of whom we have heard so much. The last one may be cut off here"""
    assert sentences([text, "There is only one sentence here."]) == [
        'He said, "I am a man of the world."',
        "(And so he was, as we all know.)",
        '"What, then, is it that we want?"',
    ]


def test_without_the_parser_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit):
        main([])
    assert "apt install link-grammar" in capsys.readouterr().err
