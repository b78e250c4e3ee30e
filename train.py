#!/usr/bin/env python3
"""Trains a character-level recurrent network on a text and adds it to the weights folder as a version to serve.

python train.py                        the best preset, on nietzsche.txt
python train.py --corpus my-book.txt   a text of your own, UTF-8, starting from the shipped network
python train.py --resume               continue a run that was stopped
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from generator import files
from generator.dependencies import how_to_install
from generator.errors import WeightsError
from generator.training.cli import Options, parse
from generator.training.corpus import CorpusError
from generator.training.run import Run, RunError, new_run, resumed_run
from generator.weights.versions import activate


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0; 1 when a file cannot be written; 2 for wrong arguments or texts; 130 for Ctrl-C."""
    options = parse(argv, __doc__ or "")
    try:
        run = prepare(options)
        if options.plan:
            print(run.plan())
        else:
            train(run, options.out, make_current=not options.no_activate)
    except (CorpusError, RunError, WeightsError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"train.py: {error.name} is not installed; {how_to_install('train')}", file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename or options.out
        print(f"train.py: {where}: {files.reason(error)}; fix that and continue with --resume", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntrain.py: stopped; finished epochs are saved: continue with --resume", file=sys.stderr)
        return 130
    return 0


def prepare(options: Options) -> Run:
    """Reads and checks everything that the run needs; writes nothing and loads no TensorFlow."""
    from generator.training.progress import download_bar  # noqa: PLC0415 - rich belongs to the extra

    return (new_run if options.resume is None else resumed_run)(options, download_bar)


def train(run: Run, out: Path, *, make_current: bool) -> None:
    """Runs from the last checkpoint to a version in `out`. Raises `RunError` or `WeightsError`."""
    # TensorFlow takes seconds to import. --help, --plan and wrong arguments do not wait for it.
    from generator.training import progress  # noqa: PLC0415
    from generator.training.backend import keras  # noqa: PLC0415
    from generator.training.checkpoint import TrainingState  # noqa: PLC0415
    from generator.training.loop import Stage, learn  # noqa: PLC0415
    from generator.training.model import transfer_weights  # noqa: PLC0415
    from generator.training.publish import publish  # noqa: PLC0415

    settings, preset, corpus = run.settings, run.preset, run.corpus
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if settings.dtype == "bfloat16" else "float32")

    # The start: random numbers, or the weights of a version, mapped to the vocabulary of the corpus.
    start = None
    if settings.start_from is not None:
        start = transfer_weights(Path(settings.start_from), corpus.vocabulary)
    run.save_settings()
    progress.print_run(run)
    if settings.start_from is not None:
        progress.print_start(Path(settings.start_from), corpus.vocabulary)

    # Pretraining: other texts, if any were named.
    pretraining = replace(preset.pretraining, epochs=settings.pretrain_epochs)
    pretrained = TrainingState()
    if len(text := run.pretraining_text):
        stage = Stage(text, preset.fitted(len(text)), pretraining, run.folder / "pretraining")
        pretrained = learn(stage, settings, corpus, start)
        start = pretrained.best

    # Training, or fine-tuning, on the corpus.
    config = replace(preset.training if start is None else preset.fine_tuning, epochs=settings.epochs)
    stage = Stage(corpus.training, preset.fitted(len(corpus.training)), config, run.folder, run.rehearsal_text)
    state = learn(stage, settings, corpus, start)

    # The version: exported, measured, and added to the weights folder by one rename.
    used = replace(stage.preset, training=config, pretraining=pretraining)
    manifest, folder = publish(settings, used, corpus, pretrained, state, out)
    progress.print_result(manifest)
    if make_current:
        activate(out, settings.name)
    print(f"{folder}: {'now the current version' if make_current else 'CURRENT left as it was'}")


if __name__ == "__main__":
    sys.exit(main())
