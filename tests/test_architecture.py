"""Rules about the code itself that neither the linters nor the import contracts can see."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import automl_transfer

PACKAGE = Path(automl_transfer.__file__).parent
SOURCES = [
    file
    for file in PACKAGE.rglob("*.py")
    if file.relative_to(PACKAGE).parts[0] != "templates"  # what is written for others
]
HEAVY = ("torch", "torchvision", "timm", "transformers", "peft", "optuna", "sklearn", "streamlit")


def modules_after(code: str) -> set[str]:
    """Top-level names in ``sys.modules`` after ``code`` ran in a process of its own."""
    program = f"{code}\nimport sys\nprint('MODULES', *{{n.split('.')[0] for n in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES ")[2].split())


HELP = """
from automl_transfer.cli import main
try:
    main({})
except SystemExit as stop:
    assert not stop.code
"""


@pytest.mark.parametrize(
    "code",
    [
        "import automl_transfer; dir(automl_transfer)",
        "from automl_transfer import API, hookimpl",
        "from automl_transfer.plugins import load_registry\n"
        "registry = load_registry(third_party=False)\n"
        "assert registry.backbones and not registry.quarantined, registry.warnings()\n"
        "registry.portfolio('small', 'image')",
        HELP.format(["--help"]),
        HELP.format(["search", "--help"]),
    ],
    ids=["import", "plugin author", "list members", "--help", "search --help"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    assert not modules_after(code) & set(HEAVY)


MODALITY_WORDS = re.compile(
    r"(?<![a-z])(images?|pixels?|pictures?|photos?|jpe?g|png|rgb|pil|tokens?|tokenizers?|"
    r"audio|spectrograms?|waveforms?)(?![a-z])",
    re.IGNORECASE,
)
OUTSIDE = {
    "modalities": "the place for it",
    "backbones": "networks are made for one kind of data",
    "builtin.py": "names the modalities that we ship",
    "cli": "its examples are about what most users have",
    "dashboard": "shows samples",
    "layouts": "its messages speak of images unless told otherwise",
    "testing": "fakes of members",
    "weights": "its sources are named by others",
}
"""Parts of the package that may name a kind of data, and why; all others are the core."""


def names_in(source: str) -> list[tuple[int, str]]:
    """Identifiers and strings of a module, without its documentation."""
    tree = ast.parse(source)
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.append((node.lineno, node.id))
        elif isinstance(node, ast.Attribute):
            found.append((node.lineno, node.attr))
        elif isinstance(node, (ast.arg, ast.keyword)) and node.arg:
            found.append((node.lineno, node.arg))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append((node.lineno, node.name))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
        ):
            found.append((node.lineno, node.value))
    return found


def modality_words(source: str) -> list[str]:
    return [f"{line}: {name}" for line, name in names_in(source) if MODALITY_WORDS.search(name)]


def test_the_core_knows_no_kind_of_data_by_name():
    files = [file for file in SOURCES if file.relative_to(PACKAGE).parts[0] not in OUTSIDE]
    assert {"stages", "training", "registry.py"} <= {
        f.relative_to(PACKAGE).parts[0] for f in files
    }
    found = {
        str(file.relative_to(PACKAGE)): words
        for file in files
        if (words := modality_words(file.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    ["image = 1", "f(image_size=3)", "x = 'too few pixels'", "class RgbThing: PIL.open()"],
)
def test_the_search_for_such_words_finds_them(source):
    assert modality_words(source)
    assert not modality_words('"""Knows no image."""\nimagine = "the report"')


def test_the_dashboard_script_uses_public_names_only(repository):
    tree = ast.parse((repository / "app.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        assert not [name for name in names if re.match("_(?!_.*__$)", name)]


def test_every_public_name_is_there_and_described():
    # A submodule that has the name of a function must not take its place once it is imported.
    for home in sorted(set(automl_transfer._HOMES.values())):
        importlib.import_module(f"automl_transfer.{home}")
    for name in automl_transfer.__all__:
        value = getattr(automl_transfer, name)
        assert name in ("API", "__version__") or value.__doc__, name
        assert not isinstance(value, ModuleType), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = automl_transfer.nothing


FORBIDDEN_CALLS = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "pickle": "runs what a file says",
    "joblib": "runs what a file says",
    "dill": "runs what a file says",
}


def test_nothing_stored_is_ever_run():
    """No pickle, no eval, and torch.load never without weights_only=True."""
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & set(FORBIDDEN_CALLS), where
            if isinstance(node, ast.ImportFrom):
                assert node.module not in FORBIDDEN_CALLS, where
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in FORBIDDEN_CALLS, where
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                arguments = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert arguments.get("weights_only") == "True", where


def test_no_module_has_a_name_that_says_nothing():
    names = {file.stem for file in PACKAGE.rglob("*.py")} | {
        file.parent.name for file in PACKAGE.rglob("*.py")
    }
    assert not names & {"utils", "util", "helpers", "core", "engine", "common", "misc"}
