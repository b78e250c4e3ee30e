"""Talk with a bot from a terminal."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import suppress

from testing.telegram.api import TOKEN
from testing.telegram.server import TelegramServer


async def _talk(port: int, token: str) -> None:
    """You are the only user; each line that you type is a message to the bot."""
    async with TelegramServer(port=port, token=token) as server:
        print(f'api_url = "{server.url}"\ntoken = "{server.token}"', flush=True)
        chat = server.private(server.user("You"))

        async def show() -> None:
            while True:
                sent = await chat.next_message(patience=10**9)
                print(sent.text, *(f"[{label}]" for label in sent.labels), sep="\n", flush=True)

        async with asyncio.TaskGroup() as group:
            printer = group.create_task(show())
            while line := await asyncio.to_thread(sys.stdin.readline):
                await chat.send(line.strip())
            if sys.stdin.isatty():
                printer.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m testing.telegram", description="A Bot API server on the loopback interface."
    )
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--token", default=TOKEN)
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_talk(arguments.port, arguments.token))


if __name__ == "__main__":
    main()
