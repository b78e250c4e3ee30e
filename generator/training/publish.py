"""From the best epoch of a run, or its mean with earlier weights, to a version in the weights folder."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from generator import files
from generator.serving.loading import load_model
from generator.serving.scoring import bits_per_character
from generator.training import progress
from generator.training.architectures import step_model
from generator.training.architectures.ngrams import CONSTANTS, ngram_note
from generator.training.backend import keras
from generator.training.checkpoint import TrainingState
from generator.training.corpus import SPLIT, Corpus, read_corpus
from generator.training.model import from_bytes, parameters, to_bytes
from generator.training.onnx_export import FloatWeights
from generator.training.presets import SIZES
from generator.training.report import curve_png, history_csv
from generator.training.run import Run
from generator.training.samples import bot_text, shaded_samples
from generator.training.texts.download import DEFAULT_SHA256
from generator.training.texts.lines import sentence_length
from generator.weights.manifest import FLOAT_WEIGHTS, FORMAT, MANIFEST, METRICS, MODEL, CorpusNote, Manifest
from generator.weights.session import Network
from generator.weights.versions import CURRENT, activate, add_version, current_version

_DEFAULT_LICENSE: Final = (
    "Friedrich Nietzsche, Beyond Good and Evil (tr. Helen Zimmern) and Human, All Too Human: public domain"
)
_LIBRARIES: Final = ("keras", keras.backend.backend(), "numpy", "onnx", "onnxruntime")


def average(state: TrainingState, name: str, earlier: Mapping[str, FloatWeights], corpus: Corpus) -> None:
    """Replaces the best weights of the stage `name` by the mean of several, of these and of earlier ones, if that is
    better.

    Every combination is validated, in the served form: a model soup (https://arxiv.org/abs/2203.05482). Raises
    `WeightsError`.
    """
    trained = state.best
    weights = {name: trained, **earlier}
    combinations = [names for size in range(2, len(weights) + 1) for names in itertools.combinations(weights, size)]
    least = state.history[state.best_epoch - 1].valid_bits_per_character
    for names in combinations:
        with progress.console.status(f"averaging {' and '.join(names)}"):
            mean = _mean([weights[each] for each in names], trained)
            served = Network(step_model(mean, quantised=True), len(corpus.vocabulary))
            bits = bits_per_character(served, corpus.splits[1])
        if bits < least:
            state.best, state.averaged, least = mean, names, bits
    if state.averaged:
        progress.show(f"the mean of {' and '.join(state.averaged)} is better: validation {least:.4f} bits/character")


def _mean(members: list[FloatWeights], trained: FloatWeights) -> FloatWeights:
    """Returns the mean of weights. Where one has NaN, for a character that it does not know, the trained one counts."""
    found = dict(trained)
    for name in trained.keys() - CONSTANTS:
        arrays = [np.where(np.isnan(each[name]), trained[name], each[name]) for each in members]
        found[name] = np.mean(arrays, axis=0, dtype=np.float32)
    return found


def publish(run: Run, pretrained: TrainingState, state: TrainingState) -> Manifest:
    """Exports and measures the best epoch, and adds the version; returns its manifest.

    The served model is made from the weights as the version stores them. Raises `WeightsError` or `OSError`.
    """
    options, corpus = run.options, run.corpus
    model = step_model(state.best, quantised=True)
    weights = from_bytes(to_bytes(state.best, model), model)
    model, floats = step_model(weights, quantised=True), step_model(state.best, quantised=False)
    served, floating = (Network(step, len(corpus.vocabulary)) for step in (model, floats))
    with progress.console.status("measuring validation and test, float and served"):
        metrics = {
            f"{form}{split}_bits_per_character": round(bits_per_character(network, characters), 4)
            for form, network in (("", served), ("float_", floating))
            for split, characters in zip(("valid", "test"), corpus.splits[1:], strict=True)
        }
    texts = shaded_samples(served, corpus, options.seed)
    contents = {
        MODEL: model,
        FLOAT_WEIGHTS: to_bytes(weights, model),
        "history.csv": history_csv(state.history),
        "curve.png": curve_png(state, texts, pretrained.history, hard_wrapped=corpus.lines.wrapped),
    }
    others = [read_corpus(Path(name)).note for name in dict.fromkeys((*options.pretrain, *options.rehearse))]
    manifest = _manifest(run, options.name, contents, metrics, pretrained=pretrained, state=state, texts=others)
    add_version(Path(options.out), contents, manifest)
    return manifest


def preview(run: Run, pretrained: TrainingState, state: TrainingState, model: bytes) -> str:
    """Draws the curve in the run's folder, and makes the best epoch so far that folder's current version, for the bot.

    `model` is the served form of the last epoch. Returns a text as the bot would write it, if the last epoch is the
    best. Raises `WeightsError` or `OSError`.
    """
    folder, last = run.training.folder, state.history[-1]
    curve = curve_png(state, (), pretrained.history, hard_wrapped=run.corpus.lines.wrapped)
    files.replace(folder / "curve.png", curve)
    if state.best_epoch != last.epoch:
        return ""
    contents = {MODEL: model, "curve.png": curve}
    # The test split is looked at once, at the end.
    metrics = dict.fromkeys(METRICS, round(last.valid_bits_per_character, 4))
    manifest = _manifest(run, f"epoch-{last.epoch}", contents, metrics, pretrained=pretrained, state=state)
    # The current version stays: one who talks to it still sees its curve. A run that was killed may have left others.
    current = current_version(folder) if (folder / CURRENT).exists() else ""
    for path in list(folder.glob(f"epoch-*/{MANIFEST}")):
        if path.parent.name != current:
            shutil.rmtree(path.parent)
    version = add_version(folder, contents, manifest)
    text = bot_text(load_model(folder, version.name), run.options.seed)
    activate(folder, version.name)
    return text


def _manifest(
    run: Run,
    version: str,
    contents: dict[str, bytes],
    metrics: dict[str, float],
    *,
    pretrained: TrainingState,
    state: TrainingState,
    texts: Sequence[CorpusNote] = (),
) -> Manifest:
    options, corpus, stage = run.options, run.corpus, run.training
    is_default = corpus.note.sha256 == DEFAULT_SHA256
    return Manifest(
        format=FORMAT,
        version=version,
        architecture=stage.preset.network,
        preset=options.preset,
        parameters=parameters(state.best),
        vocabulary=corpus.vocabulary,
        corpus=corpus.note,
        split=SPLIT,
        training={
            **{name: getattr(stage.preset, name) for name in SIZES},
            **dataclasses.asdict(stage.config),
            "best_epoch": state.best_epoch,
            "averaged": state.averaged,
            "pretraining_averaged": pretrained.averaged,
            "seconds": state.seconds,
            "seed": options.seed,
            "dtype": options.dtype,
            "pretrain": [Path(name).name for name in options.pretrain],
            "pretraining": run.pretraining and dataclasses.asdict(run.pretraining.config),
            "pretraining_seconds": pretrained.seconds,
            "texts": texts,
            "lines": str(corpus.lines),
            "rehearse": [Path(name).name for name in options.rehearse],
            "characters_read": {"pretraining": pretrained.characters, "corpus": state.characters},
            "ngrams": ngram_note(state.best),
            "start_from": run.start and run.start.manifest.version,
            "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
        metrics=metrics,
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        license=_DEFAULT_LICENSE if is_default else f"{corpus.note.name}: known to the person who trained on it",
        lowercase=stage.preset.lowercase,
        hard_wrapped=corpus.lines.wrapped,
        ends_at_lines=corpus.lines.short,
        sentence_length=round(sentence_length(corpus.text)),
    )
