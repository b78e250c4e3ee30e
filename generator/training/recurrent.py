"""A stateful LSTM layer whose backward pass is written out, for training through time on a processor.

Keras's own layer multiplies the input by its kernel inside the loop over time, and the gradient of the recurrent
matrix is added up once per step: 16 MB read and written a hundred times per batch at 1,024 units. Here the input
projection is one product before the loop, and the gradient of the recurrent matrix is one product after it. The cell
state and the gates stay in float32 when the products are computed in bfloat16.

Weights and gate order (input, forget, candidate, output) are those of `keras.layers.LSTM`.
"""

from __future__ import annotations

from typing import Any

from generator.training.backend import keras

ops = keras.ops

Tensor = Any


@keras.ops.custom_gradient
def _unrolled(projected: Tensor, recurrent: Tensor, hidden: Tensor, cell: Tensor) -> Any:
    """The recurrence h, c = lstm(projected[t] + h @ recurrent, c) over all steps.

    `projected` `[steps, batch, 4·units]` and `recurrent` `[units, 4·units]` in the compute dtype, `hidden` and `cell`
    `[batch, units]` in float32. Returns the hidden states `[steps, batch, units]` in the compute dtype and the last
    hidden and cell states in float32. The states that enter and leave carry no gradient: truncated backpropagation.
    """
    dtype = recurrent.dtype
    first_hidden = ops.cast(hidden, dtype)

    def forward(carry: Any, z: Tensor) -> Any:
        hidden, cell, _ = carry
        z = ops.cast(z, "float32") + ops.cast(ops.matmul(hidden, recurrent), "float32")
        i, f, g, o = ops.split(z, 4, axis=-1)
        i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
        cell = f * cell + i * g
        hidden = ops.cast(o * ops.tanh(cell), dtype)
        out = (hidden, cell, ops.cast(ops.concatenate([i, f, g, o], axis=-1), dtype))
        return out, out

    # On TensorFlow `ops.scan` stacks only values that have the shape and dtype of the carry, so all are carried.
    (_, last_cell, _), (hiddens, cells, gates) = ops.scan(
        forward, (first_hidden, cell, ops.zeros_like(projected[0])), projected
    )

    def grad(*upstream: Tensor) -> Any:
        upstream_hiddens = upstream[0]
        earlier_cells = ops.concatenate([cell[None], cells[:-1]], axis=0)
        earlier_hiddens = ops.concatenate([first_hidden[None], hiddens[:-1]], axis=0)

        def backward(carry: Any, step: Any) -> Any:
            d_hidden, d_cell, _ = carry
            upstream_hidden, gates, cell, earlier_cell = step
            i, f, g, o = ops.split(ops.cast(gates, "float32"), 4, axis=-1)
            squashed = ops.tanh(cell)
            d_hidden = d_hidden + ops.cast(upstream_hidden, "float32")
            d_cell = d_cell + d_hidden * o * (1.0 - squashed * squashed)
            dz = ops.concatenate(
                [
                    d_cell * g * i * (1.0 - i),
                    d_cell * earlier_cell * f * (1.0 - f),
                    d_cell * i * (1.0 - g * g),
                    d_hidden * squashed * o * (1.0 - o),
                ],
                axis=-1,
            )
            dz = ops.cast(dz, dtype)
            d_hidden = ops.cast(ops.matmul(dz, ops.transpose(recurrent)), "float32")
            out = (d_hidden, d_cell * f, dz)
            return out, out

        zeros = ops.zeros_like(cell)
        _, (_, _, d_projected) = ops.scan(
            backward,
            (zeros, zeros, ops.zeros_like(projected[0])),
            (upstream_hiddens, gates, cells, earlier_cells),
            reverse=True,
        )
        units = recurrent.shape[0]
        d_recurrent = ops.matmul(
            ops.transpose(ops.reshape(earlier_hiddens, (-1, units))), ops.reshape(d_projected, (-1, 4 * units))
        )
        return d_projected, d_recurrent, zeros, zeros

    return (hiddens, ops.cast(hiddens[-1], "float32"), last_cell), grad


class StatefulLSTM(keras.layers.Layer):
    """LSTM over `[batch, steps, features]` -> `[batch, steps, units]` that goes on from its last call's states.

    `dropconnect` is the fraction of the recurrent matrix's entries that training leaves out, the same ones for a
    whole batch (Merity et al. 2018, "Regularizing and Optimizing LSTM Language Models", section 2).
    """

    def __init__(self, units: int, dropconnect: float = 0.0, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.dropconnect = dropconnect
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes the weights, and the states that are carried from call to call, float32 `[batch, units]`."""
        batch, _, features = input_shape
        units = self.units
        self.kernel = self.add_weight(shape=(features, 4 * units), initializer="glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(units, 4 * units), initializer="glorot_uniform", name="recurrent_kernel"
        )
        self.bias = self.add_weight(shape=(4 * units,), initializer=_forget_gates_open, name="bias")
        self.hidden, self.cell = (
            self.add_weight(
                shape=(batch, units), initializer="zeros", trainable=False, autocast=False, dtype="float32", name=name
            )
            for name in ("hidden", "cell")
        )

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """`[batch, steps, features]` -> `[batch, steps, units]`."""
        return (*input_shape[:2], self.units)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:  # noqa: FBT001, FBT002 (Keras's signature)
        """Hidden states `[batch, steps, units]`; leaves the last hidden and cell state in place for the next call."""
        projected = ops.matmul(ops.transpose(inputs, (1, 0, 2)), self.kernel) + self.bias
        recurrent = ops.cast(self.recurrent_kernel, self.compute_dtype)
        if training and self.dropconnect:
            recurrent = keras.random.dropout(recurrent, self.dropconnect, seed=self.seed_generator)
        hiddens, hidden, cell = _unrolled(projected, recurrent, self.hidden.value, self.cell.value)
        self.hidden.assign(hidden)
        self.cell.assign(cell)
        return ops.transpose(hiddens, (1, 0, 2))

    def reset_states(self) -> None:
        """Sets the hidden and the cell state to zero."""
        self.hidden.assign(ops.zeros_like(self.hidden))
        self.cell.assign(ops.zeros_like(self.cell))


def _forget_gates_open(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
    """Bias 1 for the forget gate, 0 elsewhere, as Keras does (Jozefowicz et al. 2015)."""
    units = shape[0] // 4
    return ops.concatenate([ops.zeros(units, dtype), ops.ones(units, dtype), ops.zeros(2 * units, dtype)])
