"""What a step's graph may be: read from the bytes of `model.onnx` before onnxruntime sees them.

A model is a program, and onnxruntime runs what it is given: loops without end, reads of other files, tensors of any
size. Weights come from elsewhere now and then, so this is the door: standard operators on tensors whose sizes are
known before the step runs, computed here for every batch, with every constant in the file itself. Then a step takes
bounded memory and bounded time, whatever the numbers in it are.

`generator.graph.operators` has the rules; it is there that an operator is added.
"""

from generator.graph.step import MAX_ELEMENTS, MAX_PRODUCTS, ROWS, check
from generator.graph.tensors import GraphError

__all__ = ["MAX_ELEMENTS", "MAX_PRODUCTS", "ROWS", "GraphError", "check"]
