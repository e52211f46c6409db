"""Imports point down only: a module may import lower levels and its own folder, nothing else."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fuse"

# From the bottom up; each name is a module or folder of fuse, and what is missing here fails.
LAYERS = (
    {"errors", "findings", "threads", "processes", "clock", "version"},
    {"types"},
    {"ops"},
    {"labels"},
    {"interop"},
    {"metrics", "io"},
    {"fusion", "models", "viz", "datasets", "exports"},
    {"results"},
    {"inference", "evaluation"},
    {"runs"},
    {"analysis"},
    {"report"},
    {"baselines"},
    {"api"},
    {"cli"},
    {"__main__"},
)
LEVELS = {name: level for level, layer in enumerate(LAYERS) for name in layer}
# Heavy or replaceable packages, and where alone they may be imported.
HOMES = {
    "torch": {"models"},
    "torchvision": {"models"},
    "segmentation_models_pytorch": {"models"},
    "timm": {"models"},
    "safetensors": {"models"},
    "transformers": {"models"},
    "huggingface_hub": {"models"},
    "onnxruntime": {"models"},
    "openvino": {"models"},
    "ray": {"runs/engines/ray_data.py"},
    "fsspec": {"io"},
    "msgspec": {"io", "models", "exports", "datasets"},
    "supervision": {"results"},
    "click": {"cli"},
    "rich": {"cli"},
    "numba": {"ops"},
    "matplotlib": {"analysis"},
    "cv2": {"io", "ops", "interop", "models", "viz"},
    "PIL": {"io", "viz"},
}

# Constructors of types need kernels of rooms above; they import them when they are called.
IMPORTS_WHEN_CALLED = {"types/readers.py": "interop"}

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def part_of(module: Path) -> str:
    """The folder right below fuse, or the module's own name."""
    return module.parts[0] if len(module.parts) > 1 else module.stem


def imported_names(module: Path) -> set[str]:
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            if node.module != "fuse":  # `from fuse import api` is about that module alone
                names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_down(module):
    part = part_of(module)
    if part == "__init__":
        return  # re-exports lazily
    for name in imported_names(module):
        root, _, rest = name.partition(".")
        if root == "fuse":
            target = rest.split(".")[0] or "__init__"
            if IMPORTS_WHEN_CALLED.get(module.as_posix()) == target:
                continue
            if target in LEVELS and target != part:
                assert LEVELS[target] < LEVELS[part], f"{module} imports {name}"
            # The package itself re-exports from every level: it is above all of them.
            assert target != "__init__", f"{module} imports the package as a whole"
        elif root in HOMES:
            assert HOMES[root] & {part, module.as_posix()}, f"{module} imports {root}"


def test_every_module_has_a_level():
    assert {part_of(module) for module in MODULES} - {"__init__"} == set(LEVELS)
