#!/usr/bin/env python3
"""Trains a character-level recurrent network on a text and adds it to the weights folder as a version to serve.

python train.py                        the best preset, on nietzsche.txt
python train.py --corpus my-book.txt   a text of your own, UTF-8, starting from the shipped network
python train.py --resume               continue a run that was stopped
"""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # Ctrl-C while this is imported ends it without a traceback
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

from generator import files
from generator.dependencies import how_to_install
from generator.errors import WeightsError
from generator.training import TrainingError
from generator.training.cli import parse
from generator.training.run import Run, prepare
from generator.weights.versions import activate


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0; 1 when a file cannot be written; 2 for wrong arguments or texts; 130 for Ctrl-C."""
    options = parse(argv, __doc__ or "")
    run = None
    try:
        run = prepare(options)
        if options.plan:
            print(run.plan())
        else:
            train(run)
    except (TrainingError, WeightsError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"train.py: {error.name} is not installed; {how_to_install('train')}", file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename or options.out
        print(f"train.py: {where}: {files.reason(error)}; fix that, and {_how_to_go_on(run)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ntrain.py: stopped; {_how_to_go_on(run)}", file=sys.stderr)
        return 130
    return 0


def _how_to_go_on(run: Run | None) -> str:
    if run is None or not run.is_started:
        return "nothing was begun: start it again"
    return f"finished epochs are saved: continue with --resume {run.options.name}"


def train(run: Run) -> None:
    """Runs from the last checkpoint to a version. Raises `TrainingError`, `WeightsError` or `OSError`."""
    # TensorFlow takes seconds to import. --help, --plan and wrong arguments do not wait for it.
    from generator.training import progress  # noqa: PLC0415
    from generator.training.backend import keras  # noqa: PLC0415
    from generator.training.checkpoint import TrainingState  # noqa: PLC0415
    from generator.training.loop import learn  # noqa: PLC0415
    from generator.training.model import transfer_weights  # noqa: PLC0415
    from generator.training.publish import average, preview, publish  # noqa: PLC0415

    options = run.options
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if options.dtype == "bfloat16" else "float32")

    # The start: random numbers, or the weights of a version, mapped to the vocabulary of the corpus.
    start, earlier = None, {}
    if run.start is not None:
        start = earlier[run.start.manifest.version] = transfer_weights(run.start, run.corpus.vocabulary)
    if options.resume is None:
        run.save_settings()
    progress.show(run.plan())

    # Pretraining: other texts, if any were named. Here and below, the average of what was trained and of what it
    # started from is used where it is better.
    averages = run.training.config.keep == "best"
    pretrained = TrainingState()
    if run.pretraining is not None:
        pretrained = learn(run, run.pretraining, start)
        if averages:
            average(pretrained, "pretraining", earlier, run.corpus)
        start = earlier["pretraining"] = pretrained.best

    # Training, or fine-tuning, on the corpus.
    # After each epoch the best one so far can be talked to: python -m bot chat --weights <the run's folder>
    state = learn(run, run.training, start, functools.partial(preview, run, pretrained))

    if averages:
        average(state, "training", earlier, run.corpus)

    # The version: exported, measured, and added to the weights folder by one rename.
    manifest = publish(run, pretrained, state)
    progress.print_result(manifest)
    out = Path(options.out)
    if not options.no_activate:
        activate(out, options.name)
    print(f"{out / options.name}: {'CURRENT left as it was' if options.no_activate else 'now the current version'}")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
