"""The lowest version that every range in `pyproject.toml` allows, as lines of a constraints file for pip."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

_RANGE = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,]+\])?>=(?P<lowest>[\w.]+),<[\w.]+")


def lowest_versions(pyproject: Path) -> list[str]:
    """A line "name==version" for each dependency, the optional ones included. Raises `ValueError` for another form."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    lines = []
    for requirement in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
        if requirement.startswith(f"{project['name']}["):
            continue  # another of its own extras, which is looked at itself
        match = _RANGE.fullmatch(requirement)
        if match is None:
            raise ValueError(f"{requirement!r} is not a range of the form name>=lowest,<limit")
        lines.append(f"{match['name']}=={match['lowest']}")
    return lines


if __name__ == "__main__":
    print("\n".join(lowest_versions(Path(__file__).parents[1] / "pyproject.toml")))
