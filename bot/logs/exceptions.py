"""Exceptions and stacks, each on one line."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

_MAX_MESSAGE: Final = 300
"""Characters of an exception's message that a line repeats."""


def format_error(error: BaseException) -> str:
    """Returns an exception's type and message."""
    message = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {message[:_MAX_MESSAGE]}" if message else name


def format_stack(frames: traceback.StackSummary) -> str:
    """Returns `file:line function` of every frame, outermost first."""
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)


def format_exception(error: BaseException, seen: frozenset[int] = frozenset()) -> str:
    """Returns an exception, those that it groups and those that caused it, each with its stack.

    `seen` holds the IDs of the exceptions around it: one that was raised again out of its group has that group as its
    cause, and is in it.
    """
    if id(error) in seen:
        return format_error(error)
    seen |= {id(error)}
    stack = format_stack(traceback.extract_tb(error.__traceback__))
    line = f"{format_error(error)} [{stack}]" if stack else format_error(error)
    if isinstance(error, BaseExceptionGroup):
        line += f" {{{'; '.join(format_exception(inner, seen) for inner in error.exceptions)}}}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return f"{line} <- {format_exception(cause, seen)}" if cause is not None else line
