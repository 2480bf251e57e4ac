"""The imports run one way, and what is optional is imported where it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jax_lstm

ROOT = Path(jax_lstm.__file__).parent
# from the bottom up: a module imports from those before it alone; modules of one entry do not import each other, but a
# package's own
LAYERS = [
    ["_annotations", "_repr"],
    ["_types", "_files", "_zip", "_foreign"],
    ["_checks"],
    ["_init", "_gates", "_cell", "_readout", "_describe"],
    ["_step"],
    ["_sharding"],
    ["schedules", "parallel"],
    ["_call", "_check_stack"],
    ["_layer", "_stack", "_regularize"],
    ["_network"],
    ["interop", "train", "checkpoint", "tables"],
    ["forecast"],
    ["plot"],
    ["cli"],
    ["__main__"],
]
REQUIRED = {"jax", "numpy", "optax", "jax_lstm", "jax_lstm_command"}


def rank(module: str) -> int:
    """The position in the list of a module of the package, by its path below the package."""
    for position, names in enumerate(LAYERS):
        if module.split(".")[0] in names:
            return position
    raise AssertionError(f"jax_lstm.{module} is not in LAYERS: say where it belongs")


def imports(tree: ast.AST) -> list[tuple[str, bool]]:
    """Every imported module, and whether it is imported inside a function, or for a type checker alone."""
    lazy = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda) or is_for_types(node)]
    inside = {id(node) for one in lazy for node in ast.walk(one)}
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from jax_lstm import plot` names a module of the package, if there is one
            names = [
                f"{node.module}.{alias.name}" if is_module(f"{node.module}.{alias.name}") else node.module
                for alias in node.names
            ]
        found += [(name, id(node) in inside) for name in names]
    return found


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def is_module(name: str) -> bool:
    path = ROOT.parent / name.replace(".", "/")
    return name.startswith("jax_lstm.") and (path.is_dir() or path.with_suffix(".py").exists())


FILES = {str(path.relative_to(ROOT).with_suffix("")).replace("/", "."): path for path in sorted(ROOT.rglob("*.py"))}


@pytest.mark.parametrize("name", FILES)
def test_imports_run_one_way(name):
    for module, _ in imports(ast.parse(FILES[name].read_text("utf-8"))):
        if module == "jax_lstm":
            assert name.startswith("interop") or rank(name) >= rank("interop"), (
                f"{name} imports the package that imports it"
            )
        elif module.startswith("jax_lstm.") and name != "__init__":
            target = module.removeprefix("jax_lstm.")
            same_package = target.split(".")[0] == name.split(".")[0]
            assert same_package or rank(target) < rank(name), (
                f"jax_lstm.{name} imports {module}, which is above it or on the same level"
            )


@pytest.mark.parametrize("name", FILES)
def test_optional_libraries_are_imported_inside_functions(name):
    for module, inside in imports(ast.parse(FILES[name].read_text("utf-8"))):
        top = module.split(".")[0]
        assert inside or top in REQUIRED | sys.stdlib_module_names, f"jax_lstm.{name} imports {module} at its top"


def test_the_package_needs_no_optional_library():
    """`import jax_lstm` with every other library blocked."""
    blocked = [
        "matplotlib",
        "rich",
        "safetensors",
        "orbax",
        "onnx",
        "onnxruntime",
        "torch",
        "flax",
        "haiku",
        "equinox",
        "keras",
        "statsmodels",
        "jaxtyping",
        "pandas",
    ]
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import jax_lstm, jax_lstm.cli"
    subprocess.run([sys.executable, "-c", code], check=True)
