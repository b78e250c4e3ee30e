"""Muon, an optimizer for the matrices of recurrent layers."""

from __future__ import annotations

from typing import Any, Final

from generator.training.backend import keras

ops = keras.ops
_ADAM: Final = ["bias", "dense", "ngrams", "output"]
"""Parts of the paths of weights that `Muon` leaves to Adam; embeddings are left to it in any case."""


class Muon(keras.optimizers.Muon):  # type: ignore[misc]  # (Keras has no types)
    """Muon (https://kellerjordan.github.io/posts/muon) for layers of `units` units, and Adam for all other weights.

    The matrices of a layer's gates stand side by side in one kernel `[inputs, gates·units]`. Each is orthogonalised by
    itself, in bfloat16 as in the original.
    """

    def __init__(self, learning_rate: Any, units: int, *, weight_decay: float | None, **options: Any) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, adam_weight_decay=weight_decay, exclude_layers=_ADAM, **options
        )
        self._units = units

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Returns about the nearest orthogonal matrix of each gate, as the parent does of the whole kernel."""
        inputs, width = x.shape
        gates = ops.transpose(ops.reshape(x, (inputs, width // self._units, self._units)), (1, 0, 2))
        gates = super().zeropower_via_newtonschulz5(ops.cast(gates, "bfloat16"), steps)
        return ops.reshape(ops.transpose(ops.cast(gates, x.dtype), (1, 0, 2)), x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scales an update as the parent does, but by the size of a gate's matrix: its RMS is then 0.2."""
        return x * (self.rms_rate * max(x.shape[0], self._units) ** 0.5)
