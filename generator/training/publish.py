"""From the best epoch of a run to a version in the weights folder."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from pathlib import Path
from typing import Final

from generator.scoring.surprisal import bits_per_character
from generator.training import progress
from generator.training.architectures import describe, step_model
from generator.training.architectures.ngrams import ngram_note
from generator.training.backend import keras
from generator.training.checkpoint import TrainingState
from generator.training.corpus import SPLIT, Corpus
from generator.training.model import as_stored, parameters, to_bytes
from generator.training.presets import Preset
from generator.training.report import curve_png, history_csv
from generator.training.run import RunSettings
from generator.training.samples import shaded_samples
from generator.weights.manifest import FLOAT_WEIGHTS, FORMAT, MODEL, CorpusNote, Manifest
from generator.weights.session import Network
from generator.weights.versions import add_version

_LICENSES: Final = {
    "23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647": (
        "Friedrich Nietzsche, Beyond Good and Evil (tr. Helen Zimmern) and Human, All Too Human: public domain"
    ),
}
"""By the sha256 of the corpus. This program knows no other text's license, and the manifest says so."""
_SIZES: Final = ("embedding", "units", "layers", "dense", "batch", "steps", "ngram_bits", "ngram_width")
_LIBRARIES: Final = ("keras", keras.backend.backend(), "numpy", "onnx", "onnxruntime")


def publish(  # noqa: PLR0917 (the parts of a run, in its order)
    settings: RunSettings, preset: Preset, corpus: Corpus, pretrained: TrainingState, state: TrainingState, out: Path
) -> tuple[Manifest, Path]:
    """Exports and measures the best epoch, and adds the version; returns its manifest and folder.

    `preset` is as it was used. Both the served form and the float figures are made from the float weights as they are
    stored. Raises `WeightsError`.
    """
    weights = as_stored(state.best)
    served = step_model(weights, quantised=True)
    metrics = _measure(served, corpus, "") | _measure(step_model(weights, quantised=False), corpus, "float_")
    architecture = describe(preset)
    files = {
        MODEL: served,
        FLOAT_WEIGHTS: to_bytes(weights),
        "history.csv": history_csv(state.history),
        "curve.png": curve_png(
            state.history,
            state.best_epoch,
            f"{corpus.name}: {architecture}",
            shaded_samples(Network(served, len(corpus.vocabulary)), corpus, settings.seed),
            pretraining=pretrained.history,
            hard_wrapped=corpus.hard_wrapped,
        ),
    }
    recipe = {
        **{name: getattr(preset, name) for name in _SIZES},
        **dataclasses.asdict(preset.training),
    }
    manifest = Manifest(
        format=FORMAT,
        version=settings.name,
        architecture=architecture,
        preset=settings.preset,
        parameters=parameters(weights),
        vocabulary=corpus.vocabulary,
        corpus=CorpusNote(corpus.name, len(corpus.text), corpus.sha256),
        split=SPLIT,
        training=recipe
        | {
            "best_epoch": state.best_epoch,
            "seconds": round(state.seconds),
            "seed": settings.seed,
            "dtype": settings.dtype,
            "pretrain": [Path(name).name for name in settings.pretrain],
            "pretraining": dataclasses.asdict(preset.pretraining) if settings.pretrain else None,
            "pretraining_seconds": round(pretrained.seconds),
            "texts": [_text_note(Path(name)) for name in dict.fromkeys((*settings.pretrain, *settings.rehearse))],
            "rehearse": [Path(name).name for name in settings.rehearse],
            "characters_read": {"pretraining": pretrained.characters, "corpus": state.characters},
            "ngrams": ngram_note(weights),
            "start_from": Path(settings.start_from).name if settings.start_from else None,
            "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
        metrics=metrics,
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        license=_LICENSES.get(corpus.sha256, f"{corpus.name}: known to the person who trained on it"),
        lowercase=corpus.lowercase,
        hard_wrapped=corpus.hard_wrapped,
    )
    return manifest, add_version(out, files, manifest)


def _text_note(path: Path) -> dict[str, str | int]:
    content = path.read_bytes()
    return {
        "name": path.name,
        "characters": len(content.decode("utf-8-sig")),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _measure(model: bytes, corpus: Corpus, prefix: str) -> dict[str, float]:
    network = Network(model, len(corpus.vocabulary))
    metrics = {}
    for split, characters in (("valid", corpus.validation), ("test", corpus.test)):
        with progress.measuring(f"{'float' if prefix else 'served'}, {split}"):
            metrics[f"{prefix}{split}_bits_per_character"] = round(bits_per_character(network, characters), 4)
    return metrics
