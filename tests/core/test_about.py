"""/about says everything that the network read."""

from __future__ import annotations

from pathlib import Path

import msgspec
from conftest import english

from bot.core import messages
from generator.weights.versions import load_weights


def test_about_names_the_texts_of_pretraining_and_the_weights_it_started_from(weights_folder: Path) -> None:
    manifest = load_weights(weights_folder, "nietzsche-best").manifest
    texts = ["1-fiction.txt", "moby-dick--or-the-whale-pg2701.txt"]
    training = manifest.training | {
        "pretrain": texts,
        "start_from": "an-earlier-version",
    }
    changed = msgspec.structs.replace(manifest, training=training)
    said = messages.about(changed, english)
    assert "other texts: Fiction, Moby Dick: or the Whale." in said
    assert "started from the weights an-earlier-version." in said


def test_about_says_no_more_than_there_was(weights_folder: Path) -> None:
    said = messages.about(load_weights(weights_folder, "nietzsche-lstm").manifest, english)
    assert "other texts" not in said
    assert "started from" not in said
