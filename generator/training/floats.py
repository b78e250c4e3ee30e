"""Float weights as a version stores them: float16 in safetensors, half the size, and nothing executable in it.

The served form and the float figures of the manifest are both made from what is stored, so that either can be
made again from the version alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from generator.errors import WeightsError
from generator.training.architectures import architecture_of
from generator.training.architectures.architecture import FloatWeights
from generator.vocabulary import Vocabulary
from generator.weights.versions import load_weights

FILE: Final = "weights.safetensors"


def to_bytes(weights: FloatWeights) -> bytes:
    """The content of `weights.safetensors`."""
    content: bytes = save({name: array.astype(np.float16) for name, array in weights.items()})
    return content


def from_bytes(content: bytes) -> FloatWeights:
    """The inverse, as float32."""
    return {name: array.astype(np.float32) for name, array in load(content).items()}


def carry_over(version: Path, vocabulary: Vocabulary) -> FloatWeights:
    """A version's float weights for another vocabulary: what belongs to a character goes with the character.

    What belongs to characters that the version does not know is NaN, for `completed` to fill in, except for a low
    output bias. Raises `WeightsError` when the version is not whole.
    """
    known = load_weights(version.parent, version.name).manifest.vocabulary
    try:
        old = from_bytes((version / FILE).read_bytes())
        per_symbol = architecture_of(old).per_symbol
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{version / FILE}: {error}; --from needs a version with its float weights") from error
    shared = "".join(character for character in vocabulary.characters if character in known)
    for name, axis in per_symbol.items():
        source = np.moveaxis(old[name], axis, 0)
        # A bias is the output's. New characters begin as improbable as the rarest known one; at zero they would be
        # scattered over every text until training has pushed them down.
        unknown = source.min() if source.ndim == 1 else np.nan
        carried = np.full((len(vocabulary), *source.shape[1:]), unknown, np.float32)
        carried[vocabulary.encode(shared)] = source[known.encode(shared)]
        old[name] = np.moveaxis(carried, 0, axis)
    return old


def completed(start: FloatWeights, fresh: FloatWeights) -> FloatWeights:
    """`start`, with the numbers of a newly made network where it has none (NaN).

    Raises `WeightsError` when it is of a network of another kind or size.
    """
    for name in fresh.keys() | start.keys():
        if name not in fresh or name not in start or start[name].shape != fresh[name].shape:
            raise WeightsError(f"--from: {name} is not of the shape that this preset has; use the version's own preset")
    return {name: np.where(np.isnan(start[name]), array, start[name]) for name, array in fresh.items()}
