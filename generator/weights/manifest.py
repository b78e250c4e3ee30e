"""`manifest.json`: what a weights version is, and the sha256 of its files."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from generator.vocabulary import Vocabulary

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
FLOAT_WEIGHTS: Final = "weights.safetensors"
MAX_SYMBOLS: Final = 20_000
Text = Annotated[str, Meta(max_length=1000)]
"""Users read most of a manifest's texts in one message of 2,000 characters."""
Count = Annotated[int, Meta(ge=0, le=10**15)]
Bits = Annotated[float, Meta(ge=0.0, le=64.0)]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class CorpusNote(Struct, frozen=True):
    """The text that a network learnt: its name, its length in characters, the sha256 of its UTF-8 bytes."""

    name: Text
    characters: Count
    sha256: str


class Metrics(Struct):
    """What `Manifest.metrics` has at least: bits per character of the served model, and of the float weights."""

    valid_bits_per_character: Bits
    test_bits_per_character: Bits
    float_valid_bits_per_character: Bits
    float_test_bits_per_character: Bits


METRICS: Final = Metrics.__struct_fields__


class Manifest(Struct, frozen=True):
    """What `manifest.json` says. `metrics` may have more than `Metrics`; `files` has at least `MODEL`.

    `lowercase`: the network knows the text lower-cased. `hard_wrapped`: its corpus breaks lines inside a paragraph, so
    a single line end in a text means a space. `ends_at_lines`: its lines are those of verse, a chat or code, and a text
    ends where one of them does, not where a sentence does. `sentence_length`: characters of a sentence of its corpus,
    on average; 0: not known.
    """

    format: int
    version: Text
    architecture: Text
    preset: Text
    parameters: Count
    vocabulary: Vocabulary
    corpus: CorpusNote
    split: Text
    training: dict[str, Any]
    metrics: dict[str, Any]
    files: dict[FileName, Digest]
    license: Text
    lowercase: bool = False
    hard_wrapped: bool = False
    ends_at_lines: bool = False
    sentence_length: Count = 0

    def to_json(self) -> str:
        """Returns the text of `manifest.json`."""
        content = msgspec.json.encode(self, enc_hook=lambda vocabulary: vocabulary.characters)
        return msgspec.json.format(content, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Reads `manifest.json`; keys that it does not know are left out.

        Raises `ValueError` that names the key which is missing or wrong.
        """
        try:
            content = msgspec.json.decode(text, type=dict[str, Any])
        except RecursionError as error:
            raise ValueError("is nested too deeply") from error
        if content.get("format") != FORMAT:
            raise ValueError(f"format is {content.get('format')!r}; this program reads format {FORMAT}")
        manifest = msgspec.convert(content, cls, dec_hook=_vocabulary)
        msgspec.convert(manifest.metrics, Metrics)
        if MODEL not in manifest.files:
            raise ValueError(f"files: {MODEL} is missing")
        return manifest


def _vocabulary(_: type, characters: Any) -> Vocabulary:
    if not isinstance(characters, str) or len(characters) > MAX_SYMBOLS:
        raise ValueError(f"Expected a text of at most {MAX_SYMBOLS} characters")
    return Vocabulary(characters)
