"""Which of the three folders may import what."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "trainer": {"trainer"},
    "runtime": {"runtime"},
    "export": {"export", "trainer", "runtime"},
}
RUNTIME_LIBRARIES = {"absl", "fastjsonschema", "matplotlib", "numpy", "onnxruntime", "PIL", "tqdm"}


def imported(path: Path) -> Iterator[str]:
    """The modules a file imports, by name; relative ones as `.folder` of the folder they reach."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            own = path.parent.name if node.level == 1 else (node.module or "").split(".")[0]
            yield f".{own}" if node.level else node.module or ""


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ALLOWED)
def test_own_imports_are_relative_and_point_the_allowed_way(folder: str) -> None:
    names = {name for path in sources(folder) for name in imported(path)}
    assert not {name for name in names if name.startswith("diffkiln")}
    assert {name.removeprefix(".") for name in names if name.startswith(".")} <= ALLOWED[folder]


def test_runtime_imports_only_what_an_app_installs() -> None:
    import sys

    names = {name.split(".")[0] for path in sources("runtime") for name in imported(path)}
    assert {name for name in names if name} - sys.stdlib_module_names <= RUNTIME_LIBRARIES


def test_layering_check_sees_a_wrong_import(tmp_path: Path) -> None:
    file = tmp_path / "runtime" / "bad.py"
    file.parent.mkdir()
    file.write_text("from ..trainer.schedule import CosineSchedule\nimport tensorflow\n")
    assert list(imported(file)) == [".trainer", "tensorflow"]
