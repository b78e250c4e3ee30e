"""A side-car without a cluster, which a test starts in place of the real one: what it does is written in its address.

The address is a folder: `version` in it names what serves, and while there is a file `away` the cluster is away.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from generator.errors import Unavailable
from generator.process.protocol import Heartbeat, Result, Work
from generator.process.server import serve
from generator.types import Generation, GenerationRequest, GeneratorStatus, OnSentence, Timing
from generator.weights.versions import load_weights


class FakeSidecar:
    def __init__(self, address: Path, folder: Path) -> None:
        self._address = address
        self._before = ""
        (folder / "curve.png").write_bytes(b"picture")

    async def run(self, work: Work, _: OnSentence | None = None) -> Result:
        assert isinstance(work, GenerationRequest)
        text = "SECRET" if any("hush" in value for value in os.environ.values()) else f"for {work.seed}"
        return Generation(text, b"", self._version, work.seed, Timing(0.0, 0.0, 0.0))

    async def heartbeat(self) -> Heartbeat:
        if (self._address / "away").exists():
            raise Unavailable("the test wants it away")
        before, self._before = self._before, self._version
        manifest = load_weights(self._address / "weights", self._version).manifest
        status = GeneratorStatus(running=3, characters_per_second=1000.0, threads=2, slots=48)
        return Heartbeat(status, "" if self._version == before else manifest.to_json())

    @property
    def _version(self) -> str:
        return (self._address / "version").read_text()


async def start(address: str, folder: str) -> FakeSidecar:
    return FakeSidecar(Path(address), Path(folder))


if __name__ == "__main__":
    serve(*sys.argv[1:3], start(*sys.argv[3:]))
