"""The wall clock jumps by hours, either way, while users type; everything continues.

The fault: a preloaded library replaces the C library's functions for the time of day, and adds what a file says. So
Python, SQLite and everything else see the same time; monotonic clocks are unchanged, as when NTP sets the clock.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path

import pytest
from service_process import PATIENCE, TYPED, Installation

HOURS = 3600
JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long *shift;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_SHIFT"); /* not set in the generator process, whose environment is clean */
    void *mapped = path ? mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, open(path, O_RDONLY), 0) : MAP_FAILED;
    if (mapped != MAP_FAILED) shift = mapped;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *shift;
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where) *where = exact.tv_sec;
    return exact.tv_sec;
}
"""
COMPILER = shutil.which("cc")


class Clock:
    """The wall clock of the processes that are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        self._shift = folder / "shift"
        self._library = folder / "clock.so"
        self.set(0)

    async def make(self) -> None:
        source = self._library.with_suffix(".c")
        source.write_text(JUMPING_CLOCK)
        assert COMPILER is not None
        process = await asyncio.create_subprocess_exec(
            COMPILER, "-shared", "-fPIC", "-o", str(self._library), str(source), "-ldl"
        )
        assert await process.wait() == 0

    def set(self, seconds: int) -> None:
        """Shifts the clock by so many seconds."""
        with self._shift.open("r+b" if self._shift.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCK_SHIFT": str(self._shift)}


@pytest.mark.skipif(COMPILER is None, reason="the clock is a C library, and there is no compiler here")
async def test_users_are_answered_whatever_the_clock_does(bot: Installation, tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    await clock.make()
    alice = bot.server.private(bot.server.user("Alice"))
    answers = 0
    async with bot.service(LSTMEGA_BOT__COOLDOWN="1", **clock.environment) as service:
        for shift in (0, 5 * HOURS, -5 * HOURS, 24 * 365 * HOURS, -24 * HOURS, 0):
            clock.set(shift)
            await alice.send("/temperature 0.7")
            await alice.next_message(PATIENCE)
            await alice.send(f"/nietzsche {TYPED}")
            while not (said := (await alice.next_message(PATIENCE)).text).startswith(TYPED):
                assert said.startswith("Give me a moment: you can have your next text in a second")  # not in hours
                await asyncio.sleep(1)
                await alice.send(f"/nietzsche {TYPED}")
            answers += 1
            assert (await service.ready())[0] == 200
            with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as database:
                ((saved,),) = database.execute("SELECT updated_at FROM conversations ORDER BY number DESC LIMIT 1")
            assert abs(saved - (time.time() + shift)) < PATIENCE  # the fault is real: SQLite's row has the jumped time
        began = time.monotonic()
        await service.stop()
        assert time.monotonic() - began < 10
    assert answers == 6
    assert not any(
        " error " in line or " critical " in line or "event_loop.lagged" in line for line in service.log.lines
    )
