"""How the next character is drawn: the settings, their ranges and their help, declared once."""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from generator.errors import InvalidRequest

MIN_TEMPERATURE: Final = 0.1
MAX_TEMPERATURE: Final = 2.0
Number = type[int] | type[float]


def bounds(low: float, high: float, kind: Number, help_text: str = "", *, open_below: bool = False) -> Meta:
    """Returns a range; `description` completes "must be …", `title` is the help text of the command line."""
    noun = "a whole number" if kind is int else "a number"
    if open_below:
        return Meta(gt=low, le=high, description=f"{noun} above {low:g}, up to {high:g}", title=help_text)
    return Meta(ge=low, le=high, description=f"{noun} from {low} to {high}", title=help_text)


def check(name: str, value: Any, kind: Number, meta: Meta) -> None:
    """Raises `InvalidRequest` unless the value is a number in the range. NaN is in none."""
    is_number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    above = is_number and (value >= meta.ge if meta.ge is not None else value > meta.gt)
    if not above or not value <= meta.le:
        shown = "one so large" if isinstance(value, int) and abs(value) >= 10**20 else repr(value)
        raise InvalidRequest(f"{name} must be {meta.description}, not {shown}")


class Temperature(float):
    """A number from `MIN_TEMPERATURE` to `MAX_TEMPERATURE`. Raises `InvalidRequest` for any other."""

    __slots__ = ()
    RANGE: Final = bounds(MIN_TEMPERATURE, MAX_TEMPERATURE, float, "0.1 (careful) to 2.0 (wild)")

    def __new__(cls, value: float) -> Temperature:
        """Makes one of a number in the range."""
        check("temperature", value, float, cls.RANGE)
        return super().__new__(cls, value)


class SamplingParams(Struct, frozen=True):
    """How the next character is drawn. Names and ranges as in vLLM's `SamplingParams`.

    `temperature` divides the logits: where a word begins by more than its value and inside words by less above 1, so
    that it decides rather which words come than how they are spelled (`generator.serving.sampling`). Full stops keep
    the probability that they have at temperature 1, and more than that where the sentences of the corpus are long
    (`generator.serving.constraints`). The other settings then leave characters out, in this
    order: `min_p` those that are less than that fraction as probable as the most probable one, `top_k` all but that
    many of the most probable ones, `top_p` all but the most probable ones that together reach that share of the
    remaining probability.

    This is the only declaration of these settings: configuration, command line and batches are derived from it
    (`SETTINGS`), and `generator.serving.sampling.draw` applies them. Raises `InvalidRequest` for a value that is out of
    range or no finite number.
    """

    temperature: Annotated[float, Temperature.RANGE] = 0.7
    top_p: Annotated[float, bounds(0.0, 1.0, float, "share of the probability to draw from", open_below=True)] = 1.0
    min_p: Annotated[float, bounds(0.0, 1.0, float, "least share of the best character's probability")] = 0.06
    top_k: Annotated[int, bounds(0, 10_000, int, "number of characters to draw from; 0: all")] = 0

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            value = getattr(self, name)
            check(name, value, setting.kind, setting.range)
            if type(value) is not setting.kind:  # an int, or a `Temperature`, which msgspec cannot encode
                msgspec.structs.force_setattr(self, name, setting.kind(value))


class Setting(NamedTuple):
    """One field of `SamplingParams`: its type and its range."""

    kind: Number
    range: Meta


SETTINGS: Final = {
    name: Setting(*get_args(hint)) for name, hint in get_type_hints(SamplingParams, include_extras=True).items()
}
"""The fields of `SamplingParams` by name."""
UNMODIFIED: Final = SamplingParams(temperature=1.0, top_p=1.0, min_p=0.0, top_k=0)
"""Draws from the network's own distribution; leaves no character out."""
