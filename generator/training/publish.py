"""From a run's best epoch to a version in the weights folder."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from pathlib import Path
from typing import Final

from generator.scoring.measure import bits_per_character
from generator.training import floats
from generator.training import progress as show
from generator.training.architectures import ARCHITECTURES
from generator.training.backend import keras
from generator.training.checkpoint import Progress, RunSettings
from generator.training.corpus import SPLIT, Corpus
from generator.training.model import parameters
from generator.training.onnx_export import step_model
from generator.training.presets import Preset
from generator.training.report import curve_png, history_csv
from generator.training.specimens import specimens
from generator.weights.session import Network
from generator.weights.versions import FORMAT, MODEL, CorpusNote, Manifest, add_version

_LICENSES: Final = {
    "23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647": (
        "Friedrich Nietzsche, Beyond Good and Evil (tr. Helen Zimmern) and Human, All Too Human: public domain"
    ),
}
"""By the corpus's sha256. Of any other text this program knows nothing, and says so."""
_LIBRARIES: Final = ("keras", keras.backend.backend(), "numpy", "onnx", "onnxruntime")


def release(
    settings: RunSettings, preset: Preset, corpus: Corpus, progress: Progress, out: Path
) -> tuple[Manifest, Path]:
    """Exports, measures and adds the version; returns its manifest and folder. `preset` is as it was used.

    Both the served form and the float figures are made from the float weights as they are stored. Raises
    `WeightsError`.
    """
    stored = floats.to_bytes(progress.best)
    weights = floats.from_bytes(stored)
    served = step_model(weights, quantised=True)
    metrics = _measure(served, corpus, "") | _measure(step_model(weights, quantised=False), corpus, "float_")
    title = f"{settings.preset} on {corpus.name}"
    files = {
        MODEL: served,
        floats.FILE: stored,
        "history.csv": history_csv(progress.history),
        "curve.png": curve_png(
            progress.history,
            progress.best_epoch,
            title,
            specimens(Network(served, len(corpus.vocabulary)), corpus, settings.seed),
            hard_wrapped=corpus.hard_wrapped,
        ),
    }
    recipe = {
        **{name: getattr(preset, name) for name in ("embedding", "units", "layers", "dense", "batch", "steps")},
        **dataclasses.asdict(preset.reading),
    }
    manifest = Manifest(
        format=FORMAT,
        version=settings.name,
        architecture=ARCHITECTURES[preset.architecture].describe(preset),
        preset=settings.preset,
        parameters=parameters(weights),
        vocabulary=corpus.vocabulary,
        corpus=CorpusNote(corpus.name, len(corpus.text), corpus.sha256),
        split=SPLIT,
        training=recipe
        | {
            "best_epoch": progress.best_epoch,
            "seconds": round(progress.seconds),
            "seed": settings.seed,
            "dtype": settings.dtype,
            "pretrain": [Path(name).name for name in settings.pretrain],
            "pretraining": dataclasses.asdict(preset.pretraining) if settings.pretrain else None,
            "pretraining_seconds": round(progress.seconds_before),
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


def _measure(model: bytes, corpus: Corpus, prefix: str) -> dict[str, float]:
    network = Network(model, len(corpus.vocabulary))
    _, validation, test = corpus.splits()
    metrics = {}
    for split, characters in (("valid", validation), ("test", test)):
        with show.measuring(f"{'float' if prefix else 'served'}, {split}"):
            metrics[f"{prefix}{split}_bits_per_character"] = round(bits_per_character(network, characters), 4)
    return metrics
