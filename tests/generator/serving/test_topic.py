"""A text comes back to the words of its prompt that say something."""

from __future__ import annotations

import numpy as np
import pytest

from generator import Continuation, Generation, GenerationRequest, SamplingParams
from generator.serving.constraints import Constraints, WritingRules
from generator.serving.loading import generate, load_model
from generator.serving.model import Model
from generator.serving.state import ModelId, SavedState
from generator.serving.topic import KEPT_WORDS, Topic
from generator.vocabulary import Vocabulary
from generator.weights.versions import shipped_folder

RULES = WritingRules(Vocabulary.of(" .'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))


def topic_of(*words: str, bits: float = 9.0, temperature: float = 1.0) -> Topic:
    topic = Topic(RULES.places, temperature)
    for word in words:
        for character in word:
            topic.read(character, bits / len(word))
        topic.read(" ", 2.0)
    return topic


def favoured(text: str, topic: Topic) -> str:
    """The letters that become more probable after a text."""
    bias = Constraints(RULES, text, topic=topic).bias
    return "".join(c for c, nats in zip(RULES.characters, bias, strict=True) if nats > 0)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("", "GMgm"),
        ("He ", "GMgm"),
        ("m", "OUou"),
        ("Mu", "Ss"),
        ("of musi", "Cc"),
        ("of music", ""),
        ("of mad", ""),
        ("of music ", "GMgm"),
        ("of music m", ""),  # which may only become another word
        ("of music, m", "OUou"),
    ],
)
def test_letters_that_continue_a_word_of_the_topic_become_more_probable(text: str, letters: str) -> None:
    assert favoured(text, topic_of("Music", "mother", "God")) == letters


def test_the_longer_the_part_that_is_there_the_more() -> None:
    for scale in (1.0, 0.5):
        topic = topic_of("music", temperature=scale)
        bonuses = [Constraints(RULES, "music"[:length], topic=topic).bias.max() / scale for length in range(5)]
        np.testing.assert_allclose(np.diff(bonuses), bonuses[1] - bonuses[0])
        assert 0 < bonuses[0] < bonuses[1]


def test_words_that_any_text_has_are_no_topic() -> None:
    assert favoured("", topic_of("which", bits=3.0)) == ""
    assert favoured("", topic_of("me")) == ""
    assert favoured("", topic_of("m" * 31)) == ""


def test_verse_code_and_scripts_without_spaces_have_no_topics() -> None:
    assert RULES.has_topics
    assert not WritingRules(Vocabulary.of("abc .\n"), ends_at_lines=True).has_topics
    assert not WritingRules(Vocabulary.of("猫。")).has_topics


@pytest.fixture(scope="module")
def shipped() -> Model:
    return load_model(shipped_folder())


@pytest.mark.parametrize(
    ("prompt", "word"), [("The religious man", "religi"), ("God is dead", "god"), ("Truth", "truth")]
)
def test_texts_of_the_shipped_network_come_back_to_the_prompt(shipped: Model, prompt: str, word: str) -> None:
    """In nietzsche.txt one of three places does, and did one of eight texts before."""
    requests = [GenerationRequest(450, seed, SamplingParams(temperature=0.7), prompt=prompt) for seed in range(24)]
    texts = [text.text.lower() for text in generate(shipped, requests)]
    assert sum(word in text for text in texts) >= 8


@pytest.mark.parametrize(
    "prompt", ["The sea and the philosophers", "the sea and the Philosophers", "Of the sea, of philosophers"]
)
def test_words_that_any_text_has_are_told_from_the_others_whatever_their_case(shipped: Model, prompt: str) -> None:
    for seed in range(16):  # a text begins after one of sixteen sentence ends
        [text] = generate(shipped, [GenerationRequest(1, seed, prompt=prompt)])
        topic = SavedState.from_bytes(text.state, shipped.id, shipped.network.specs).topic
        assert topic == ("sea", "philosophers")


def test_a_continued_text_keeps_its_topic_and_has_that_of_a_new_prompt_too(shipped: Model) -> None:
    def topic(request: GenerationRequest) -> tuple[Generation, tuple[str, ...]]:
        [text] = generate(shipped, [request])
        return text, SavedState.from_bytes(text.state, shipped.id, shipped.network.specs).topic

    first, words = topic(GenerationRequest(60, 1, prompt="The origin of music"))
    assert words == ("origin", "music")
    second, words = topic(GenerationRequest(60, 2, continuation=Continuation(first.state, first.text)))
    assert words == ("origin", "music")
    third, words = topic(GenerationRequest(60, 3, prompt="God", continuation=Continuation(second.state, second.text)))
    assert words == ("origin", "music", "god")
    # A state of an earlier version has none, and neither does one of other weights.
    _, words = topic(GenerationRequest(60, 4, continuation=Continuation(b"", third.text)))
    assert words == ()


def test_a_long_prompt_in_any_script_leaves_a_state_that_can_be_read() -> None:
    words = tuple("\N{DESERET CAPITAL LETTER LONG I}" * 30 for _ in range(KEPT_WORDS))
    model = ModelId("v" * 100, "0" * 64)
    assert SavedState.from_bytes(SavedState((), " ", words).to_bytes(model), model, ()).topic == words
