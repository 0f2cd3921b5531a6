"""The map of the house: which room may import which, and what may be imported from outside."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each package's rooms (folders, and modules that stand by themselves) from the ground up. A room
# imports only rooms that come before it.
ROOMS = {
    "runtime": [
        "errors",
        "limits",
        "paths",
        "background",
        "checking",
        "bundle",
        "device",
        "engine",
        "output",
        "methods",
        "sampler",
        "command",
        "bench",
        "frozen",
    ],
    "trainer": [
        "errors",
        "paths",
        "console",
        "config",
        "presets",
        "command",
        "streams",
        "maths",
        "conditions",
        "network",
        "run",
        "data",
        "quality",
        "training",
        "describe",
        "cli",
    ],
    "export": [
        "checks",
        "conditions",
        "model",
        "options",
        "second",
        "network",
        "baking",
        "graphs",
        "litert",
        "proof",
        "learning",
        "cascade",
        "publish",
        "preparing",
        "manifest",
        "saved_model",
        "verify",
        "bundle",
        "run",
        "flags",
        "cli",
    ],
}
PACKAGES = {
    "trainer": {"trainer"},
    "runtime": {"runtime"},
    "export": {"export", "trainer", "runtime"},
}
RUNTIME_LIBRARIES = {"absl", "fastjsonschema", "matplotlib", "numpy", "onnxruntime", "PIL", "tqdm"}


def modules(package: str) -> list[tuple[str, ...]]:
    """All modules of a package, as ("runtime", "bundle", "files")."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return [path.relative_to(ROOT).with_suffix("").parts for path in paths]


def imported(module: tuple[str, ...], text: str) -> Iterator[tuple[str, ...]]:
    """The modules that `module` imports: own ones in full, others as ("", "numpy")."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (("", *alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield ("", *(node.module or "").split("."))
        elif isinstance(node, ast.ImportFrom):
            base = module[: -node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((*base, *name.split(".")) for name in names)


def imports(package: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs of a module and one that it imports."""
    return [
        (module, other)
        for module in modules(package)
        for other in imported(module, ROOT.joinpath(*module).with_suffix(".py").read_text())
    ]


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_only_rooms_below_them(package: str) -> None:
    floors = {room: floor for floor, room in enumerate(ROOMS[package])}
    upwards = [
        (module, other)
        for module, other in imports(package)
        if other[0] == package and module[1] not in ("__init__", "__main__")
        if floors[other[1]] > floors[module[1]]
    ]
    assert not upwards


@pytest.mark.parametrize("package", ROOMS)
def test_every_room_is_on_the_map(package: str) -> None:
    rooms = {module[1] for module in modules(package)} - {"__init__", "__main__"}
    assert rooms == set(ROOMS[package])


@pytest.mark.parametrize("package", PACKAGES)
def test_own_imports_are_relative_and_point_the_allowed_way(package: str) -> None:
    found = [other for _, other in imports(package)]
    assert not [other for other in found if other[:2] == ("", "diffkiln")]
    assert {other[0] for other in found} - {""} <= PACKAGES[package]


def test_runtime_imports_only_what_an_app_installs() -> None:
    import sys

    # PyInstaller imports its hook itself.
    programs = ((module, other) for module, other in imports("runtime") if module[1] != "frozen")
    libraries = {other[1] for _, other in programs if not other[0]}
    assert libraries - sys.stdlib_module_names <= RUNTIME_LIBRARIES


def test_only_the_benchmark_imports_other_runtimes() -> None:
    compare = ("runtime", "bench", "compare")
    users = {module for module, other in imports("runtime") if other[:3] == compare}
    benchmark = ("runtime", "bench", "benchmark")
    assert {module for module in users if module[:3] != compare} == {benchmark}
    # Inside a function, so that only --compare loads them.
    tree = ast.parse(ROOT.joinpath(*benchmark).with_suffix(".py").read_text())
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    loaded = imported(benchmark, "\n".join(map(ast.unparse, at_once)))
    assert not [module for module in loaded if module[:3] == compare]


def test_every_room_is_installed() -> None:
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {
        ".".join(("diffkiln", *module[:-1]))
        for package in ROOMS
        for module in modules(package)
        if module[-1] == "__init__"
    }
    assert set(listed) == folders


def test_a_wrong_import_is_seen() -> None:
    text = "from ...trainer.maths import schedules\nimport tensorflow\nfrom . import files\n"
    assert list(imported(("runtime", "bundle", "bad"), text)) == [
        ("trainer", "maths"),
        ("", "tensorflow"),
        ("runtime", "bundle", "files"),
    ]
