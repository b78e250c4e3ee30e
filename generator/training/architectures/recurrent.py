"""A stateful recurrent layer whose backward pass is written out, for training through time on a processor.

Keras's own layers multiply the input by their kernel inside the loop over time, and the gradient of the recurrent
matrix is added up once per step: 16 MB read and written a hundred times per batch at 1,024 units. Here the input
projection is one product before the loop, and the gradient of the recurrent matrix is one product after it. The
states and the gates stay in float32 when the products are computed in bfloat16.

Weights and order of the gates are those of `keras.layers.LSTM` (input, forget, candidate, output) and of
`keras.layers.GRU` with `reset_after` (update, reset, candidate).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from generator.training.architectures import bf16
from generator.training.backend import ON_TENSORFLOW, keras

ops = keras.ops

Tensor = Any
CellKind = Literal["lstm", "gru"]
Cell = Callable[..., tuple[Tensor, ...]]
"""(input's part `[batch, gates·units]`, state's product of that shape, *states) -> the next states, hidden first."""


def _lstm_cell(x: Tensor, product: Tensor, _hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
    i, f, g, o = ops.split(x + product, 4, axis=-1)
    cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(cell), cell


def _gru_cell(x: Tensor, product: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
    x_z, x_r, x_g = ops.split(x, 3, axis=-1)
    h_z, h_r, h_g = ops.split(product, 3, axis=-1)
    g = ops.tanh(x_g + ops.sigmoid(x_r + h_r) * h_g)
    return (g + ops.sigmoid(x_z + h_z) * (hidden - g),)


def _over_time(cell: Cell) -> Callable[..., Any]:
    """Returns the recurrence of a cell over all steps.

    It takes the input's part `[steps, batch, gates·units]`, the recurrent matrix `[units, gates·units]` and what is
    added to its product `[gates·units]`, in the compute dtype, and the first states `[batch, units]`, float32. It
    returns the hidden states `[steps, batch, units]` in the compute dtype and the last states. The states that enter
    and leave carry no gradient: truncated backpropagation.
    """

    def recurrence(projected: Tensor, recurrent: Tensor, bias: Tensor, *states: Tensor) -> Any:
        dtype = recurrent.dtype

        def inputs(x: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
            return ops.cast(x, "float32"), ops.cast(product, "float32") + ops.cast(bias, "float32")

        # On TensorFlow `ops.scan` stacks only values that have the shape and dtype of the carry, so all are carried.
        def forward(carry: Any, x: Tensor) -> Any:
            product = ops.matmul(ops.cast(carry[0][0], dtype), recurrent)
            out = cell(*inputs(x, product), *carry[0]), product
            return out, out

        (last, _), (found, products) = ops.scan(forward, (states, ops.zeros_like(projected[0])), projected)
        earlier = tuple(
            ops.concatenate([first[None], after[:-1]], axis=0) for first, after in zip(states, found, strict=True)
        )

        def grad(*upstream: Tensor) -> Any:
            import tensorflow as tf  # noqa: PLC0415 (only where it is the backend)

            def backward(carry: Any, step: Any) -> Any:
                (d_hidden, *d_others), *_ = carry
                upstream_hidden, x, product, before = step
                read = (*inputs(x, product), *before)
                with tf.GradientTape() as tape:
                    tape.watch(read)
                    after = cell(*read)
                d_after = (d_hidden + ops.cast(upstream_hidden, "float32"), *d_others)
                d_x, d_product, d_hidden, *d_others = tape.gradient(after, read, d_after, unconnected_gradients="zero")
                d_product = ops.cast(d_product, dtype)
                d_hidden += ops.cast(ops.matmul(d_product, ops.transpose(recurrent)), "float32")
                out = (d_hidden, *d_others), ops.cast(d_x, dtype), d_product
                return out, out

            zeros = tuple(ops.zeros_like(state) for state in states)
            nothing = ops.zeros_like(projected[0])
            steps = (upstream[0], projected, products, earlier)
            _, (_, d_projected, d_products) = ops.scan(backward, (zeros, nothing, nothing), steps, reverse=True)
            units, width = recurrent.shape
            d_products = ops.reshape(d_products, (-1, width))
            hiddens = ops.cast(ops.reshape(earlier[0], (-1, units)), dtype)
            d_bias = ops.cast(ops.sum(ops.cast(d_products, "float32"), axis=0), dtype)
            return d_projected, ops.matmul(ops.transpose(hiddens), d_products), d_bias, *zeros

        return (ops.cast(found[0], dtype), *last), grad

    if ON_TENSORFLOW:
        return ops.custom_gradient(recurrence)  # type: ignore[no-any-return]
    # Other backends differentiate by themselves: their `custom_gradient` does not take several results, and on the
    # graphics cards that they are there for the loop's own gradient costs little.
    return lambda *inputs: recurrence(*inputs)[0]


_RECURRENCES = {"lstm": _over_time(_lstm_cell), "gru": _over_time(_gru_cell)}


@ops.custom_gradient
def _bf16_lstm(  # noqa: PLR0917 (differentiated by position)
    inputs: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor, hidden: Tensor, cell: Tensor
) -> Any:
    """The whole layer, input product included, in C (`bf16.py`): `inputs` `[steps, batch, inputs]` in bfloat16.

    `hidden` and `cell` `[batch, units]` are float32, everything else bfloat16.
    """
    import tensorflow as tf  # noqa: PLC0415 (only where it is the backend)

    dtype = inputs.dtype
    taken = [inputs, kernel, recurrent, ops.cast(bias, "float32"), ops.cast(hidden, dtype), cell]
    given = tf.numpy_function(bf16.forward, taken, [dtype, tf.float32, dtype], stateful=False)
    units = recurrent.shape[0]
    for tensor, width in zip(given, (units, units, 4 * units), strict=True):
        tensor.set_shape((*inputs.shape[:2], width))
    hiddens, cells, _ = given

    def grad(*upstream: Tensor) -> Any:
        needed = [*taken[:3], *taken[4:], *given, ops.cast(upstream[0], dtype)]
        gradients = tf.numpy_function(bf16.backward, needed, [dtype, *[tf.float32] * 3], stateful=False)
        for gradient, value in zip(gradients, (inputs, kernel, recurrent, bias), strict=True):
            gradient.set_shape(value.shape)
        zeros = ops.zeros_like(cell)
        return *(ops.cast(gradient, dtype) for gradient in gradients), zeros, zeros

    return (hiddens, ops.cast(hiddens[-1], "float32"), cells[-1]), grad


class StatefulRNN(keras.layers.Layer):
    """A recurrence over `[batch, steps, features]` -> `[batch, steps, units]`, continuing from the last call's states.

    `dropconnect` is the fraction of the recurrent matrix's entries that training leaves out, the same ones for a whole
    batch (Merity et al. 2018, "Regularizing and Optimizing LSTM Language Models", section 2).
    """

    def __init__(
        self,
        cell: CellKind,
        units: int,
        dropconnect: float = 0.0,
        *,
        recurrent_initializer: str = "glorot_uniform",
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.cell = cell
        self.units = units
        self.dropconnect = dropconnect
        self.recurrent_initializer = recurrent_initializer
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes the weights, and the states that are carried from call to call, float32 `[batch, units]`.

        The bias is `[4·units]` of an LSTM. That of a GRU, `[2, 3·units]`, is what is added to the input's product, and
        to the state's.
        """
        batch, _, features = input_shape
        lstm, units = self.cell == "lstm", self.units
        width = (4 if lstm else 3) * units
        self.kernel = self.add_weight(shape=(features, width), initializer="glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(units, width), initializer=self.recurrent_initializer, name="recurrent_kernel"
        )
        shape, initializer = ((width,), _forget_gates_open) if lstm else ((2, width), "zeros")
        self.bias = self.add_weight(shape=shape, initializer=initializer, name="bias")
        carried = {"initializer": "zeros", "trainable": False, "autocast": False, "dtype": "float32"}
        names = ("hidden", "cell") if lstm else ("hidden",)
        self.states = [self.add_weight((batch, units), name=name, **carried) for name in names]

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """`[batch, steps, features]` -> `[batch, steps, units]`."""
        return (*input_shape[:2], self.units)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:  # noqa: FBT001, FBT002 (Keras's signature)
        """Hidden states `[batch, steps, units]`; leaves the last states in place for the next call."""
        inputs = ops.transpose(inputs, (1, 0, 2))
        kernel, recurrent, bias = (
            ops.cast(weight, self.compute_dtype) for weight in (self.kernel, self.recurrent_kernel, self.bias)
        )
        if training and self.dropconnect:
            recurrent = keras.random.dropout(recurrent, self.dropconnect, seed=self.seed_generator)
        # Copies: on PyTorch the assignment below would change what the backward pass still needs.
        first = [ops.copy(state.value) for state in self.states]
        _, batch, features = inputs.shape
        if self.cell == "lstm" and bf16.available(batch, features, self.units, self.compute_dtype):
            hiddens, *last = _bf16_lstm(inputs, kernel, recurrent, bias, *first)
        else:
            added = (bias, ops.zeros_like(bias)) if self.cell == "lstm" else bias
            projected = ops.matmul(inputs, kernel) + added[0]
            hiddens, *last = _RECURRENCES[self.cell](projected, recurrent, added[1], *first)
        for state, value in zip(self.states, last, strict=True):
            state.assign(value)
        return ops.transpose(hiddens, (1, 0, 2))


def _forget_gates_open(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
    """Bias 1 for the forget gate, 0 elsewhere, as Keras does (Jozefowicz et al. 2015)."""
    units = shape[0] // 4
    return ops.concatenate([ops.zeros(units, dtype), ops.ones(units, dtype), ops.zeros(2 * units, dtype)])
