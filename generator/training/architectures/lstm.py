"""Layers of LSTM. Gates are in Keras's order: input, forget, candidate, output."""

from __future__ import annotations

from typing import Final

import numpy as np

from generator.training.architectures.architecture import FloatWeights
from generator.training.architectures.stack import add_output, gather_table, stack, stacked_layers
from generator.training.recurrent import StatefulLSTM
from generator.training.step_graph import StepGraph

_NAME: Final = "lstm"


def _step(weights: FloatWeights, quantised: bool) -> bytes:  # noqa: FBT001 (an architecture's `step`)
    """Layer n has its hidden state in `state.{2n}`, its cell state in `state.{2n + 1}`, float32 `[batch, units]`."""
    graph = StepGraph(quantised=quantised)
    sizes: list[int] = []
    for n, layer in enumerate(stacked_layers(_NAME, weights)):
        units = layer[1].shape[0]
        sizes += [units, units]
        # One sigmoid over input, forget and output gate wants the candidate last.
        order = np.concatenate([np.arange(gate * units, (gate + 1) * units) for gate in (0, 1, 3, 2)])
        kernel, recurrent, bias = (part[..., order] for part in layer)
        hidden, cell = f"state.{2 * n}", f"state.{2 * n + 1}"
        if n == 0:
            added = gather_table(graph, weights, kernel, bias)
            product = graph.product(graph.hidden(hidden), "0", recurrent)
        else:
            # What comes from below and from the step before, through one product.
            below = graph.hidden(f"next_state.{2 * n - 2}")
            graph.node("Concat", [below, graph.hidden(hidden)], [f"{n}.inputs"], axis=1)
            added = f"{n}.added"
            graph.constant(added, bias)
            product = graph.product(f"{n}.inputs", f"{n}", np.concatenate([kernel, recurrent]))
        graph.node("Add", [added, product], [f"{n}.z"])
        graph.constant(f"{n}.three_and_one", np.array([3 * units, units], np.int64))
        graph.node("Split", [f"{n}.z", f"{n}.three_and_one"], [f"{n}.z.ifo", f"{n}.z.g"], axis=1)
        graph.node("Sigmoid", [f"{n}.z.ifo"], [f"{n}.ifo"])
        graph.node("Tanh", [f"{n}.z.g"], [f"{n}.g"])
        graph.node("Split", [f"{n}.ifo"], [f"{n}.i", f"{n}.f", f"{n}.o"], axis=1, num_outputs=3)
        graph.node("Mul", [f"{n}.f", cell], [f"{n}.kept"])
        graph.node("Mul", [f"{n}.i", f"{n}.g"], [f"{n}.written"])
        graph.node("Add", [f"{n}.kept", f"{n}.written"], [f"next_{cell}"])
        graph.node("Tanh", [f"next_{cell}"], [f"{n}.squashed"])
        graph.node("Mul", [f"{n}.o", f"{n}.squashed"], [f"next_{hidden}"])
    add_output(graph, weights, f"next_state.{len(sizes) - 2}")
    return graph.model(sizes, len(weights["output_bias"]))


LSTM: Final = stack(_NAME, StatefulLSTM, _step)
"""Weights: see `stack`; `lstm.n.bias` is [4·units]."""
