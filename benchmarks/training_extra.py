"""The libraries of the `train` extra, or one line that says how to install them."""

import sys

from generator.dependencies import how_to_install

try:
    import onnx

    from generator.training.backend import keras
except ModuleNotFoundError as missing:
    sys.exit(f"this benchmark needs {missing.name}, which is not installed; {how_to_install('train')}")

__all__ = ["keras", "onnx"]
