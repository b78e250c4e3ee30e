"""From the best epoch of a run to a version in the weights folder."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from pathlib import Path
from typing import Final

from generator.serving.scoring import bits_per_character
from generator.training import progress
from generator.training.architectures import step_model
from generator.training.architectures.ngrams import ngram_note
from generator.training.backend import keras
from generator.training.checkpoint import TrainingState
from generator.training.corpus import DEFAULT_SHA256, SPLIT, read_corpus
from generator.training.model import from_bytes, parameters, to_bytes
from generator.training.presets import SIZES
from generator.training.report import curve_png, history_csv
from generator.training.run import Run
from generator.training.samples import shaded_samples
from generator.weights.manifest import FLOAT_WEIGHTS, FORMAT, MODEL, Manifest
from generator.weights.session import Network
from generator.weights.versions import add_version

_LICENSES: Final = {
    DEFAULT_SHA256: (
        "Friedrich Nietzsche, Beyond Good and Evil (tr. Helen Zimmern) and Human, All Too Human: public domain"
    ),
}
"""By the sha256 of the corpus. This program knows no other text's license, and the manifest says so."""
_LIBRARIES: Final = ("keras", keras.backend.backend(), "numpy", "onnx", "onnxruntime")


def publish(run: Run, pretrained: TrainingState, state: TrainingState) -> Manifest:
    """Exports and measures the best epoch, and adds the version; returns its manifest.

    Both the served form and the float figures are made from the float weights as they are stored. Raises
    `WeightsError` or `OSError`.
    """
    options, corpus, stage = run.options, run.corpus, run.training
    weights = from_bytes(to_bytes(state.best), step_model(state.best, quantised=True))
    model = step_model(weights, quantised=True)
    served, floating = (Network(step, len(corpus.vocabulary)) for step in (model, step_model(weights, quantised=False)))
    with progress.console.status("measuring validation and test, float and served"):
        metrics = {
            f"{form}{split}_bits_per_character": round(bits_per_character(network, characters), 4)
            for form, network in (("", served), ("float_", floating))
            for split, characters in zip(("valid", "test"), corpus.splits[1:], strict=True)
        }
    texts = shaded_samples(served, corpus, options.seed)
    contents = {
        MODEL: model,
        FLOAT_WEIGHTS: to_bytes(weights),
        "history.csv": history_csv(state.history),
        "curve.png": curve_png(state, texts, pretrained.history, hard_wrapped=corpus.hard_wrapped),
    }
    manifest = Manifest(
        format=FORMAT,
        version=options.name,
        architecture=stage.preset.network,
        preset=options.preset,
        parameters=parameters(weights),
        vocabulary=corpus.vocabulary,
        corpus=corpus.note,
        split=SPLIT,
        training={
            **{name: getattr(stage.preset, name) for name in SIZES},
            **dataclasses.asdict(stage.config),
            "best_epoch": state.best_epoch,
            "seconds": state.seconds,
            "seed": options.seed,
            "dtype": options.dtype,
            "pretrain": [Path(name).name for name in options.pretrain],
            "pretraining": run.pretraining and dataclasses.asdict(run.pretraining.config),
            "pretraining_seconds": pretrained.seconds,
            "texts": [read_corpus(Path(name)).note for name in dict.fromkeys((*options.pretrain, *options.rehearse))],
            "lines": str(corpus.lines),
            "rehearse": [Path(name).name for name in options.rehearse],
            "characters_read": {"pretraining": pretrained.characters, "corpus": state.characters},
            "ngrams": ngram_note(weights),
            "start_from": run.start and run.start.manifest.version,
            "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
        metrics=metrics,
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        license=_LICENSES.get(corpus.note.sha256, f"{corpus.name}: known to the person who trained on it"),
        lowercase=corpus.lowercase,
        hard_wrapped=corpus.hard_wrapped,
        ends_at_lines=corpus.lines.short,
    )
    add_version(Path(options.out), contents, manifest)
    return manifest
