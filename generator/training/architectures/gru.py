"""Layers of GRU, the reset gate applied after the recurrent product, as Keras and cuDNN do (`reset_after`).

Gates are in Keras's order: update, reset, candidate.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from generator.training.architectures.architecture import FloatWeights
from generator.training.architectures.stack import add_output, gather_table, stack, stacked_layers
from generator.training.recurrent import StatefulGRU
from generator.training.step_graph import StepGraph

_NAME: Final = "gru"


def _step(weights: FloatWeights, quantised: bool) -> bytes:  # noqa: FBT001 (an architecture's `step`)
    """Layer n has its hidden state in `state.{n}`, float32 `[batch, units]`."""
    graph = StepGraph(quantised=quantised)
    sizes: list[int] = []
    for n, (kernel, recurrent, bias) in enumerate(stacked_layers(_NAME, weights)):
        units = recurrent.shape[0]
        sizes.append(units)
        # The candidate's recurrent bias is inside the reset gate's reach; the other two biases of a gate are one.
        added_bias = bias[0] + np.concatenate([bias[1, : 2 * units], np.zeros(units, np.float32)])
        if n == 0:
            added = gather_table(graph, weights, kernel, added_bias)
        else:
            below = graph.product(graph.hidden(f"next_state.{n - 1}"), f"{n}.below", kernel)
            graph.constant(f"{n}.bias", added_bias)
            graph.node("Add", [below, f"{n}.bias"], [f"{n}.added"])
            added = f"{n}.added"
        hidden = f"state.{n}"
        product = graph.product(graph.hidden(hidden), f"{n}", recurrent)
        graph.constant(f"{n}.two_and_one", np.array([2 * units, units], np.int64))
        graph.node("Split", [added, f"{n}.two_and_one"], [f"{n}.added.zr", f"{n}.added.g"], axis=1)
        graph.node("Split", [product, f"{n}.two_and_one"], [f"{n}.product.zr", f"{n}.product.g"], axis=1)
        graph.node("Add", [f"{n}.added.zr", f"{n}.product.zr"], [f"{n}.z.zr"])
        graph.node("Sigmoid", [f"{n}.z.zr"], [f"{n}.zr"])
        graph.node("Split", [f"{n}.zr"], [f"{n}.z", f"{n}.r"], axis=1, num_outputs=2)
        graph.constant(f"{n}.candidate_bias", bias[1, 2 * units :])
        graph.node("Add", [f"{n}.product.g", f"{n}.candidate_bias"], [f"{n}.before"])
        graph.node("Mul", [f"{n}.r", f"{n}.before"], [f"{n}.reset"])
        graph.node("Add", [f"{n}.added.g", f"{n}.reset"], [f"{n}.z.g"])
        graph.node("Tanh", [f"{n}.z.g"], [f"{n}.g"])
        # z·h + (1 − z)·g
        graph.node("Sub", [hidden, f"{n}.g"], [f"{n}.apart"])
        graph.node("Mul", [f"{n}.z", f"{n}.apart"], [f"{n}.kept"])
        graph.node("Add", [f"{n}.g", f"{n}.kept"], [f"next_{hidden}"])
    add_output(graph, weights, f"next_state.{len(sizes) - 1}")
    return graph.model(sizes, len(weights["output_bias"]))


GRU: Final = stack(_NAME, StatefulGRU, _step)
"""Weights: see `stack`; `gru.n.bias` is [2, 3·units], what is added to the input's and to the state's product."""
