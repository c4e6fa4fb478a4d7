"""The house's rules that can be read from the source: which file may import which, and how long files are."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import anypose
from conftest import ROOT

SOURCE = ROOT / "src" / "anypose"
LONGEST = 500

# Each floor from the bottom up: a file may import its own step and those before it.
GROUND = [
    {"files", "affine", "outlines", "masks", "skeleton", "gaps", "camera", "prompt", "wordpiece"},
    {"people", "annotations", "track"},
    {"sources", "pictures", "windows", "data", "evaluation", "runtime"},
    {"zoo", "predictor", "referring", "boxed", "lifting", "motion", "draw", "tracking", "report"},
    {"web", "cli", "examples", "__main__"},
]
UPPER = [
    {"ops"},
    {"nn"},
    {"models"},
    {"recipes", "data.synthetic", "runtime.torch", "runtime.export"},
]

# What the ground floor may import of others' when it is imported itself.
LIGHT = {"numpy", "PIL", "onnxruntime", "pycocotools", "typer", "click", "rich"}

FILES = sorted(SOURCE.rglob("*.py"))


def module_of(path: Path) -> str:
    """The dotted name inside the package, "" for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def stands(module: str) -> tuple[str, int]:
    """On which floor and which step a module stands."""
    for floor, steps in (("upper", UPPER), ("ground", GROUND)):
        for step, names in enumerate(steps):
            if any(module == name or module.startswith(name + ".") for name in names):
                return floor, step
    raise AssertionError(f"{module} has no place in the order of imports; give it one in {Path(__file__).name}")


def imports(tree: ast.AST, module: str, is_package: bool, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """(absolute dotted name, whether it is imported together with the module) of each import in `tree`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, not inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = ["anypose", *module.split(".")] if module else ["anypose"]
            home = here[: len(here) - node.level + is_package] if node.level else []
            source = ".".join([*home, *([node.module] if node.module else [])])
            yield from ((f"{source}.{alias.name}", not inside) for alias in node.names)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, module, is_package, inside or function)


def imported_by(path: Path) -> list[tuple[str, bool]]:
    module = module_of(path)
    return list(imports(ast.parse(path.read_text()), module, path.name == "__init__.py"))


def inner(name: str) -> str:
    """The module inside the package that an imported name lives in: "masks" of anypose.masks.Masks."""
    parts = name.split(".")[1:]
    while parts and not (SOURCE.joinpath(*parts).is_dir() or SOURCE.joinpath(*parts).with_suffix(".py").is_file()):
        parts.pop()
    return ".".join(parts)


def misplaced(module: str, name: str, at_import: bool) -> str | None:
    """Why `module` may not import `name`, or None."""
    floor, step = stands(module)
    if not name.startswith("anypose."):
        heavy = floor == "ground" and at_import and name.split(".")[0] not in LIGHT | sys.stdlib_module_names
        return f"the ground floor imports {name} when it is imported" if heavy else None
    target = inner(name)
    if not target:
        return None
    floor_there, step_there = stands(target)
    if floor == "ground" and floor_there == "upper":
        return f"the ground floor imports {target} of the upper floor" if at_import else None
    if floor == floor_there and step_there > step and at_import:
        return f"imports {target}, which stands above it"
    if floor == "upper" and floor_there == "ground" and step_there == len(GROUND) - 1:
        return f"imports {target}, the outermost step"
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    module = module_of(path)
    if not module:
        return
    wrong = {misplaced(module, name, at_import) for name, at_import in imported_by(path)}
    assert wrong <= {None}


def test_no_system_imports_another() -> None:
    def system(module: str) -> str:
        return ".".join(module.split(".")[:3])

    for path in FILES:
        module = module_of(path)
        if module.count(".") < 2 or not module.startswith("models."):
            continue
        for name, _ in imported_by(path):
            target = inner(name) if name.startswith("anypose.") else ""
            if target.startswith("models.") and target.count(".") >= 2:
                assert system(target) == system(module), f"{module} imports {target}"


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    assert not [name for name, at_import in imported_by(SOURCE / "__init__.py") if "anypose" in name and at_import]


@pytest.mark.parametrize(
    ("module", "name", "at_import", "fault"),
    [
        ("masks", "anypose.people.People", True, "stands above"),
        ("people", "anypose.draw.draw", True, "stands above"),
        ("people", "anypose.draw.draw", False, None),
        ("zoo", "torch", True, "imports torch"),
        ("zoo", "torch", False, None),
        ("nn", "torch", True, None),
        ("predictor", "anypose.models", True, "upper floor"),
        ("ops", "anypose.nn", True, "stands above"),
        ("nn", "anypose.masks.Masks", True, None),
        ("nn", "anypose.cli", False, "outermost"),
        ("data.synthetic.engine", "torch", True, None),
        ("data.sample", "torch", True, "imports torch"),
    ],
)
def test_a_wrong_arrow_is_seen(module: str, name: str, at_import: bool, fault: str | None) -> None:
    found = misplaced(module, name, at_import)
    assert (found is None) == (fault is None)
    assert fault is None or fault in str(found)


def test_relative_imports_are_resolved() -> None:
    tree = ast.parse("from . import a\nfrom ..masks import Masks\ndef f():\n    from .b import c\n")
    found = list(imports(tree, "data.coco", is_package=False))
    assert found == [("anypose.data.a", True), ("anypose.masks.Masks", True), ("anypose.data.b.c", False)]
    assert list(imports(ast.parse("from .a import b"), "data", is_package=True)) == [("anypose.data.a.b", True)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_are_short_and_named_after_something(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST
    assert path.stem not in {"utils", "util", "misc", "common", "helpers", "base"}


def in_a_fresh_process(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_the_package_is_nearly_free() -> None:
    program = """
import sys, time
import numpy
before, start = set(sys.modules), time.perf_counter()
import anypose
print(time.perf_counter() - start, *sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
    seconds, *new = in_a_fresh_process(program).split()
    assert set(new) <= {"anypose", "importlib", "typing"} | sys.stdlib_module_names
    assert float(seconds) < 0.1


def test_the_nouns_need_no_torch() -> None:
    program = """
import sys, anypose
anypose.People, anypose.Prompt, anypose.Skeleton
import anypose.pictures
print("torch" in sys.modules, "onnxruntime" in sys.modules)
"""
    assert in_a_fresh_process(program).split() == ["False", "False"]


def test_every_public_name_is_there() -> None:
    for name in anypose.__all__:
        assert getattr(anypose, name) is not None
    assert set(dir(anypose)) == set(anypose.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        anypose.nothing  # noqa: B018


def test_the_version_is_stated_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project.get("version", anypose.__version__) == anypose.__version__
