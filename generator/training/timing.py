"""How long training will take on this machine."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from generator.training.backend import keras
from generator.training.dataset import Batch

_TIMED_STEPS: Final = 2


def seconds_per_step(model: keras.Model, batch: Batch) -> float:
    """Seconds that a training step takes, seen on a few that leave no trace: all variables are put back.

    The first step also compiles the model, which the run needs anyway; it is not timed.
    """
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    model.train_on_batch(*batch)
    began = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        model.train_on_batch(*batch)
    seconds = (time.perf_counter() - began) / _TIMED_STEPS
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return seconds
