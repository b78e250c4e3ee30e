"""A side-car without a cluster, which a test starts in place of the real one: what it does is written in its address.

The address is a folder: `version` in it names what serves, and while there is a file `away` the cluster is away.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from generator.process.isolation import isolate
from generator.process.protocol import Cancel, Channel, Heartbeat, Ready, ToWorker, Unreachable, reply
from generator.types import Generation, GenerationRequest, GeneratorStatus, Timing, WorkerStatistics
from generator.weights.versions import load_weights


async def run(connected: socket.socket, folder: Path) -> None:
    channel = await Channel.open(connected, ToWorker)
    reporting = asyncio.create_task(report(channel, folder))
    async for message in channel:
        if not isinstance(message, Cancel) and isinstance(message.work, GenerationRequest):
            version = (folder / "version").read_text()
            text = "SECRET" if any("hush" in value for value in os.environ.values()) else f"for {message.work.seed}"
            timing = Timing(0.0, 0.0, 0.0)
            channel.send(reply(message.number, Generation(text, b"", version, message.work.seed, timing)))
    reporting.cancel()
    os._exit(0)


async def report(channel: Channel, folder: Path) -> None:
    before = ""
    while True:
        version = (folder / "version").read_text()
        if (folder / "away").exists():
            channel.send(Unreachable("the test wants it away"))
        else:
            statistics = WorkerStatistics(0, 0, 0, 0, 3, 0, 1000.0)
            channel.send(Heartbeat(statistics, GeneratorStatus(2, slots=48)))
            if version != before:
                manifest = load_weights(folder / "weights", version).manifest
                channel.send(Ready(manifest.to_json(), {"curve.png": b"picture"}))
                before = version
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    isolate(int(sys.argv[2]))
    asyncio.run(run(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[3])))
