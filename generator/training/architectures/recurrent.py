"""Stateful recurrent layers whose backward pass is written out, for training through time on a processor.

Keras's own layers multiply the input by their kernel inside the loop over time, and the gradient of the recurrent
matrix is added up once per step: 16 MB read and written a hundred times per batch at 1,024 units. Here the input
projection is one product before the loop, and the gradient of the recurrent matrix is one product after it. The
state that remembers and the gates stay in float32 when the products are computed in bfloat16.

Weights and order of the gates are those of `keras.layers.LSTM` (input, forget, candidate, output) and of
`keras.layers.GRU` with `reset_after` (update, reset, candidate).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from generator.training.architectures import amx
from generator.training.backend import keras

ops = keras.ops

Tensor = Any


def _backward_written_out(recurrence: Callable[..., Any]) -> Callable[..., Any]:
    """The function without the gradient function that it returns beside its results, which TensorFlow then uses.

    Other backends differentiate by themselves: their `custom_gradient` does not take several results, and on the
    graphics cards that they are there for the loop's own gradient costs little.
    """
    if keras.backend.backend() == "tensorflow":
        return keras.ops.custom_gradient(recurrence)  # type: ignore[no-any-return]
    return lambda *inputs: recurrence(*inputs)[0]


@_backward_written_out
def _lstm(projected: Tensor, recurrent: Tensor, hidden: Tensor, cell: Tensor) -> Any:
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


@_backward_written_out
def _amx_lstm(  # noqa: PLR0917 (differentiated by position)
    inputs: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor, hidden: Tensor, cell: Tensor
) -> Any:
    """The whole layer, input product included, in C (`amx.py`): `inputs` `[steps, batch, inputs]` in bfloat16.

    `hidden` and `cell` `[batch, units]` are float32, everything else bfloat16.
    """
    import tensorflow as tf  # noqa: PLC0415 (only where it is the backend)

    dtype = inputs.dtype
    taken = [inputs, kernel, recurrent, ops.cast(bias, "float32"), ops.cast(hidden, dtype), cell]
    given = tf.numpy_function(amx.forward, taken, [dtype, tf.float32, dtype], stateful=False)
    units = recurrent.shape[0]
    for tensor, width in zip(given, (units, units, 4 * units), strict=True):
        tensor.set_shape((*inputs.shape[:2], width))
    hiddens, cells, _ = given

    def grad(*upstream: Tensor) -> Any:
        needed = [*taken[:3], *taken[4:], *given, ops.cast(upstream[0], dtype)]
        gradients = tf.numpy_function(amx.backward, needed, [dtype, *[tf.float32] * 3], stateful=False)
        for gradient, value in zip(gradients, (inputs, kernel, recurrent, bias), strict=True):
            gradient.set_shape(value.shape)
        zeros = ops.zeros_like(cell)
        return *(ops.cast(gradient, dtype) for gradient in gradients), zeros, zeros

    return (hiddens, ops.cast(hiddens[-1], "float32"), cells[-1]), grad


@_backward_written_out
def _gru(projected: Tensor, recurrent: Tensor, recurrent_bias: Tensor, hidden: Tensor) -> Any:
    """The recurrence h = gru(projected[t], h @ recurrent + recurrent_bias, h) over all steps.

    `projected` `[steps, batch, 3·units]`, `recurrent` `[units, 3·units]` and `recurrent_bias` `[3·units]` in the
    compute dtype, `hidden` `[batch, units]` in float32. Returns the hidden states `[steps, batch, units]` in the
    compute dtype and the last one in float32. The state that enters and leaves carries no gradient.
    """
    dtype = recurrent.dtype
    bias = ops.cast(recurrent_bias, "float32")

    def forward(carry: Any, x: Tensor) -> Any:
        hidden, _ = carry
        x_zr, x_g = _two_and_one(ops.cast(x, "float32"))
        h_zr, h_g = _two_and_one(ops.cast(ops.matmul(ops.cast(hidden, dtype), recurrent), "float32") + bias)
        z, r = ops.split(ops.sigmoid(x_zr + h_zr), 2, axis=-1)
        g = ops.tanh(x_g + r * h_g)
        hidden = g + z * (hidden - g)
        out = (hidden, ops.cast(ops.concatenate([z, r, g, h_g], axis=-1), dtype))
        return out, out

    nothing = ops.cast(ops.tile(ops.zeros_like(hidden), (1, 4)), dtype)
    (last_hidden, _), (hiddens, gates) = ops.scan(forward, (hidden, nothing), projected)

    def grad(*upstream: Tensor) -> Any:
        earlier_hiddens = ops.concatenate([hidden[None], hiddens[:-1]], axis=0)

        def backward(carry: Any, step: Any) -> Any:
            d_hidden, _ = carry
            upstream_hidden, gates, earlier_hidden = step
            z, r, g, h_g = ops.split(ops.cast(gates, "float32"), 4, axis=-1)
            d_hidden = d_hidden + ops.cast(upstream_hidden, "float32")
            d_g = d_hidden * (1.0 - z) * (1.0 - g * g)
            d_z = d_hidden * (earlier_hidden - g) * z * (1.0 - z)
            d_r = d_g * h_g * r * (1.0 - r)
            d_gates = ops.cast(ops.concatenate([d_z, d_r, d_g, d_g * r], axis=-1), dtype)
            through = ops.cast(ops.matmul(_at_product(d_gates), ops.transpose(recurrent)), "float32")
            out = (d_hidden * z + through, d_gates)
            return out, out

        _, (_, d_gates) = ops.scan(
            backward, (ops.zeros_like(hidden), nothing), (upstream[0], gates, earlier_hiddens), reverse=True
        )
        units = recurrent.shape[0]
        d_product = ops.reshape(_at_product(d_gates), (-1, 3 * units))
        d_recurrent = ops.matmul(ops.transpose(ops.cast(ops.reshape(earlier_hiddens, (-1, units)), dtype)), d_product)
        d_bias = ops.cast(ops.sum(ops.cast(d_product, "float32"), axis=0), dtype)
        return d_gates[..., : 3 * units], d_recurrent, d_bias, ops.zeros_like(hidden)

    return (ops.cast(hiddens, dtype), last_hidden), grad


def _two_and_one(x: Tensor) -> Any:
    """Both gates' part, and the candidate's."""
    units = x.shape[-1] // 3
    return x[..., : 2 * units], x[..., 2 * units :]


def _at_product(d_gates: Tensor) -> Tensor:
    """Of the gradients at z, r, candidate and candidate's recurrent part: those at the recurrent product's three."""
    units = d_gates.shape[-1] // 4
    return ops.concatenate([d_gates[..., : 2 * units], d_gates[..., 3 * units :]], axis=-1)


class StatefulLayer(keras.layers.Layer):
    """A recurrence over `[batch, steps, features]` -> `[batch, steps, units]`, continuing from the last call's states.

    `carried`: whether it does; else every call starts at zero. `dropconnect` is the fraction of the recurrent
    matrix's entries that training leaves out, the same ones for a whole batch (Merity et al. 2018, "Regularizing and
    Optimizing LSTM Language Models", section 2).
    """

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]]
    """Attributes that hold the carried states; the first is what the layer gives out."""

    def __init__(
        self,
        units: int,
        dropconnect: float = 0.0,
        *,
        carried: bool = True,
        recurrent_initializer: str = "glorot_uniform",
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = units
        self.dropconnect = dropconnect
        self.carried = carried
        self.recurrent_initializer = recurrent_initializer
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes the weights, and the states that are carried from call to call, float32 `[batch, units]`."""
        batch, _, features = input_shape
        units, width = self.units, self.gates * self.units
        self.kernel = self.add_weight(shape=(features, width), initializer="glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(units, width), initializer=self.recurrent_initializer, name="recurrent_kernel"
        )
        self.bias = self.add_bias()
        for name in self.states:
            state = self.add_weight(
                shape=(batch, units), initializer="zeros", trainable=False, autocast=False, dtype="float32", name=name
            )
            setattr(self, name, state)

    def add_bias(self) -> Any:
        """Makes the bias."""
        raise NotImplementedError

    def recurrence(self, inputs: Tensor, recurrent: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """From the inputs `[steps, batch, features]` to the hidden states and the last states."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """`[batch, steps, features]` -> `[batch, steps, units]`."""
        return (*input_shape[:2], self.units)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:  # noqa: FBT001, FBT002 (Keras's signature)
        """Hidden states `[batch, steps, units]`; leaves the last states in place for the next call."""
        inputs = ops.transpose(inputs, (1, 0, 2))
        recurrent = ops.cast(self.recurrent_kernel, self.compute_dtype)
        if training and self.dropconnect:
            recurrent = keras.random.dropout(recurrent, self.dropconnect, seed=self.seed_generator)
        carried = [getattr(self, name) for name in self.states]
        # Copies: on PyTorch the assignment below would change what the backward pass still needs.
        first = [ops.copy(state.value) if self.carried else ops.zeros_like(state.value) for state in carried]
        hiddens, last = self.recurrence(inputs, recurrent, first)
        if self.carried:
            for state, value in zip(carried, last, strict=True):
                state.assign(value)
        return ops.transpose(hiddens, (1, 0, 2))

    def reset_states(self) -> None:
        """Sets the carried states to zero."""
        for name in self.states:
            state = getattr(self, name)
            state.assign(ops.zeros_like(state.value))


class StatefulLSTM(StatefulLayer):
    """`keras.layers.LSTM`, as a `StatefulLayer`."""

    gates = 4
    states = ("hidden", "cell")

    def add_bias(self) -> Any:
        """Makes the bias, `[4·units]`."""
        return self.add_weight(shape=(4 * self.units,), initializer=_forget_gates_open, name="bias")

    def recurrence(self, inputs: Tensor, recurrent: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """As `StatefulLayer` says."""
        kernel, bias = (ops.cast(weight, self.compute_dtype) for weight in (self.kernel, self.bias))
        batch, features = inputs.shape[1:]
        if keras.backend.backend() == "tensorflow" and amx.available(
            batch, features, self.units, keras.backend.standardize_dtype(inputs.dtype)
        ):
            hiddens, *last = _amx_lstm(inputs, kernel, recurrent, bias, *states)
        else:
            hiddens, *last = _lstm(ops.matmul(inputs, kernel) + bias, recurrent, *states)
        return hiddens, last


class StatefulGRU(StatefulLayer):
    """`keras.layers.GRU` with `reset_after`, as a `StatefulLayer`."""

    gates = 3
    states = ("hidden",)

    def add_bias(self) -> Any:
        """Makes the bias, `[2, 3·units]`: what is added to the input's product, and to the state's."""
        return self.add_weight(shape=(2, 3 * self.units), initializer="zeros", name="bias")

    def recurrence(self, inputs: Tensor, recurrent: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """As `StatefulLayer` says."""
        bias = ops.cast(self.bias, self.compute_dtype)
        hiddens, *last = _gru(ops.matmul(inputs, self.kernel) + bias[0], recurrent, bias[1], *states)
        return hiddens, last


def _forget_gates_open(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
    """Bias 1 for the forget gate, 0 elsewhere, as Keras does (Jozefowicz et al. 2015)."""
    units = shape[0] // 4
    return ops.concatenate([ops.zeros(units, dtype), ops.ones(units, dtype), ops.zeros(2 * units, dtype)])
