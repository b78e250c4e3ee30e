"""Missing packages: the one command that installs them here. Imports nothing but the standard library."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_TARGETS: Final = {"": ("chat", ".bot"), "train": (".venv/.dev", ".dev"), "cluster": (".venv/.cluster", ".cluster")}
"""By extra: what `make` installs it with in a clone, and the file that says that this was done."""


def how_to_install(extra: str = "") -> str:
    """Returns what installs an extra (default: what the bot needs) in this clone or environment, as half a sentence."""
    in_clone = (_ROOT / "Makefile").is_file()
    if in_clone and sys.prefix == sys.base_prefix:
        target, marker = _TARGETS.get(extra, _TARGETS["train"])
        if (_ROOT / ".venv" / marker).exists():
            return f"it is in this clone's environment: use {os.path.relpath(_ROOT / '.venv/bin/python')}"
        return f"run `make {target}`" + ("" if extra == "" else ", then use .venv/bin/python")
    package = os.path.relpath(_ROOT) if in_clone else "lstmega"
    wanted = f"'{package}[{extra}]'" if extra else package
    return f"run `{sys.executable} -m pip install {'--editable ' * in_clone}{wanted}`"


for module in ("msgspec", "numpy", "onnxruntime"):  # before any other module of this package imports them
    if find_spec(module) is None:
        sys.exit(f"{module} is not installed; {how_to_install()}")
