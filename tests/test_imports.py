"""The architecture as imports: which package may import which, no cycles, no crowded folder.

grimp reads every import in the source, those inside functions and under `TYPE_CHECKING` included.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import grimp
import pytest

ROOT: Final = Path(__file__).parent.parent
LAYERS: Final = (
    {"bot.cli", "bot.__main__"},
    {"bot.service"},
    {"bot.platforms"},
    {"bot.core"},
    {"bot.store"},
    {"bot.http_server", "bot.logs"},
    {"bot.config"},
    {"generator"},
)
"""From high to low. A package imports from its own layer and from lower ones."""
LIBRARIES: Final = {
    "discord": "bot.platforms.discord",
    "telegram": "bot.platforms.telegram",
    "prompt_toolkit": "bot.platforms.terminal",
}
"""A platform's library, and the one package that may import it."""
MAX_MODULES: Final = 14
"""In a folder, besides `__init__`."""
KNOWN: Final[frozenset[str]] = frozenset()
"""Violations that are still to be fixed. One that is fixed must be removed from here."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("bot", "generator", include_external_packages=True, cache_dir=None)


def imports(graph: grimp.ImportGraph) -> Iterator[tuple[str, str]]:
    """Yields each import between two modules: the importer, the imported."""
    for module in sorted(graph.modules):
        if not graph.is_module_squashed(module):  # a library, of which only the name is known
            for imported in sorted(graph.find_modules_directly_imported_by(module)):
                yield module, imported


def layer(module: str) -> int | None:
    """Returns the position of a module's package in `LAYERS`; `None` for a library and for `bot` itself."""
    for position, packages in enumerate(LAYERS):
        if any(within(module, package) for package in packages):
            return position
    return None


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def check(found: set[str], kind: str) -> None:
    """Compares violations with the known ones of the same kind."""
    known = {violation for violation in KNOWN if violation.startswith(f"{kind}: ")}
    found = {f"{kind}: {violation}" for violation in found}
    assert found - known == set(), "new violations"
    assert known - found == set(), "fixed: remove them from KNOWN"


def test_packages_import_downwards_only(graph: grimp.ImportGraph) -> None:
    upward = set()
    for module, imported in imports(graph):
        importer, target = layer(module), layer(imported)
        if importer is not None and target is not None and target < importer:
            upward.add(f"{module} -> {imported}")
    check(upward, "layer")


def test_every_package_of_the_bot_has_a_layer() -> None:
    packages = {f"bot.{path.parent.name}" for path in (ROOT / "bot").glob("*/__init__.py")}
    assert packages <= set().union(*LAYERS)


def test_no_modules_import_each_other(graph: grimp.ImportGraph) -> None:
    ours = {module: set() for module in graph.modules if not graph.is_module_squashed(module)}
    for module, imported in imports(graph):
        if imported in ours:
            ours[module].add(imported)
    try:
        TopologicalSorter(ours).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_no_packages_import_each_other(graph: grimp.ImportGraph) -> None:
    cycles = set()
    for package in folders():
        cycles |= {f"{module} -> {imported}" for module, imported in graph.nominate_cycle_breakers(package)}
    check(cycles, "cycle")


def test_a_platform_s_library_is_imported_in_its_package_only(graph: grimp.ImportGraph) -> None:
    elsewhere = {
        f"{module} -> {imported}"
        for module, imported in imports(graph)
        if imported in LIBRARIES and not within(module, LIBRARIES[imported])
    }
    check(elsewhere, "library")


def test_no_folder_is_crowded() -> None:
    crowded = {
        package
        for package, folder in folders().items()
        if len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) > MAX_MODULES
    }
    check(crowded, "folder")


def test_every_package_says_what_it_is_for() -> None:
    silent = {
        package
        for package, folder in folders().items()
        if not ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    }
    check(silent, "docstring")


def folders() -> dict[str, Path]:
    """Returns each package by its dotted name."""
    found = {}
    for top in ("bot", "generator"):
        for init in (ROOT / top).rglob("__init__.py"):
            found[".".join(init.parent.relative_to(ROOT).parts)] = init.parent
    return found
