"""The LSTM's recurrence in C for processors that multiply bfloat16, faster than TensorFlow's loop over time.

`lstm_bf16.c` is compiled with `cc` on first use and kept in the cache folder. Where there is neither AMX nor
AVX512-BF16, no compiler, or another backend than TensorFlow, `available` is false and `recurrent.py` computes the same
in Keras operations.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from generator.cores import cores
from generator.training.backend import ON_TENSORFLOW
from generator.training.texts.download import cache_folder

_SOURCE: Final = Path(__file__).with_name("lstm_bf16.c")
_COMPILE: Final = ("cc", "-O3", "-shared", "-fPIC")
_PROCESSORS: Final = ("sapphirerapids", "cooperlake")
"""What to compile for, by names that `cc` knows: the first with AMX, the other one with AVX512-BF16."""
_ROWS: Final = 32
"""Rows of a batch that the kernels compute at a time."""
_GROUP: Final = 32
"""Units whose gates stand together."""
_POOL: Final = ThreadPoolExecutor(cores(), "lstm_bf16")

Array = NDArray[Any]


def available(batch: int, inputs: int, units: int, dtype: str) -> bool:
    """Whether a layer of that size can be computed here."""
    fits = not any(size % _ROWS for size in (batch, inputs, units))
    return ON_TENSORFLOW and dtype == "bfloat16" and fits and _library() is not None


def forward(  # noqa: PLR0917 (what TensorFlow passes on)
    inputs: Array, kernel: Array, recurrent: Array, bias: Array, hidden: Array, cell: Array
) -> tuple[Array, Array, Array]:
    """Returns hidden states `[steps, batch, units]`, cell states, and gates `[steps, batch, 4·units]`.

    `inputs` `[steps, batch, inputs]`, `kernel` `[inputs, 4·units]`, `recurrent` `[units, 4·units]` and `hidden`
    `[batch, units]` are bfloat16, `bias` `[4·units]` and `cell` `[batch, units]` float32; so are the results.
    """
    steps, batch, depth = inputs.shape
    units, width = recurrent.shape
    kernel, recurrent, bias = (_regrouped(weight, 4) for weight in (kernel, recurrent, bias))
    projected = np.empty((steps, batch, width), inputs.dtype)
    _run("product", steps * batch, (steps * batch, width, depth), inputs, _packed(kernel), bias, projected)
    hiddens = np.empty((steps, batch, units), inputs.dtype)
    cells = np.empty((steps, batch, units), np.float32)
    gates = np.empty_like(projected)
    arrays = (projected, _packed(recurrent), hidden, cell, hiddens, cells, gates)
    _run("forward", batch, (steps, batch, units), *arrays)
    return hiddens, cells, gates


def backward(  # noqa: PLR0917 (what TensorFlow passes on)
    inputs: Array,
    kernel: Array,
    recurrent: Array,
    hidden: Array,
    cell: Array,
    hiddens: Array,
    cells: Array,
    gates: Array,
    upstream: Array,
) -> tuple[Array, Array, Array, Array]:
    """Returns the gradients at `inputs` (bfloat16), `kernel`, `recurrent` and `bias` (float32).

    From the gradient at the hidden states (`upstream`), and what `forward` took and gave.
    """
    steps, batch, depth = inputs.shape
    units, width = recurrent.shape
    kernel, recurrent = _regrouped(kernel, 4), _regrouped(recurrent, 4)
    d_projected = np.empty_like(gates)
    arrays = (_packed(recurrent, transposed=True), cell, cells, gates, upstream, np.zeros_like(cell), d_projected)
    _run("backward", batch, (steps, batch, units), *arrays)

    rows = steps * batch
    d_inputs = np.empty_like(inputs)
    _run("product", rows, (rows, depth, width), d_projected, _packed(kernel, transposed=True), None, d_inputs)
    d_bias = np.empty(width, np.float32)
    _run("column_sums", width, (rows, width), d_projected, d_bias)
    entering = np.empty((depth + units, rows), inputs.dtype)
    earlier = np.concatenate([hidden[None], hiddens[:-1]])
    _run("transpose", rows, (rows, depth), inputs, entering)
    _run("transpose", rows, (rows, units), earlier, entering[depth:])
    d_matrix = np.empty((depth + units, width), np.float32)
    _run("gradient", width, (depth + units, width, rows), entering, _packed(d_projected), d_matrix)
    groups = units // _GROUP
    d_matrix = _regrouped(d_matrix, groups)
    return d_inputs, d_matrix[:depth], d_matrix[depth:], _regrouped(d_bias, groups)


def _regrouped(weight: Array, parts: int) -> Array:
    """With 4 parts, the gates: columns by groups of units instead, as the kernels want them. With the groups: back."""
    parted = weight.reshape(*weight.shape[:-1], parts, -1, _GROUP)
    return np.swapaxes(parted, -3, -2).reshape(weight.shape)


def _packed(matrix: Array, *, transposed: bool = False) -> Array:
    matrix = matrix.reshape(-1, matrix.shape[-1])
    depth, columns = matrix.shape[::-1] if transposed else matrix.shape
    packed = np.empty_like(matrix)
    _run("pack", columns, (depth, columns, int(transposed)), matrix, packed)
    return packed


def _run(name: str, extent: int, sizes: tuple[int, ...], *arrays: Array | None) -> None:
    """Calls a kernel on parts of its rows or columns, in parallel: ctypes releases the interpreter's lock.

    The arrays are C-contiguous.
    """
    kernel = getattr(_library(), f"lstm_{name}")
    pointers = [None if array is None else ctypes.c_void_p(array.ctypes.data) for array in arrays]
    size = max(_ROWS, extent // cores() // _ROWS * _ROWS)

    def run(first: int) -> None:
        kernel(*map(ctypes.c_long, (*sizes, first, min(extent, first + size))), *pointers)

    list(_POOL.map(run, range(0, extent, size)))


@cache
def _library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they cannot be compiled, or where neither kind runs."""
    try:
        libraries = (ctypes.CDLL(str(_compiled(processor))) for processor in _PROCESSORS)
        return next((library for library in libraries if library.lstm_available() == 0), None)
    except (OSError, subprocess.CalledProcessError):
        return None


def _compiled(processor: str) -> Path:
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()
    path = cache_folder() / f"lstm_bf16-{processor}-{digest[:16]}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part")
        command = [*_COMPILE, f"-march={processor}", "-o", str(partial), str(_SOURCE)]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 (a constant command)
        partial.replace(path)
    return path
