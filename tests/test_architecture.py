"""The house: who may import whom, and which vendor has which door. Reads the imports, runs nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Imports run rightwards only: a folder may import itself and what is named here.
ARROWS = {
    "server": {"scripts", "handlers", "payments", "community", "store", "realtime", "push", "config"},
    "scripts": {"server", "handlers", "payments", "community", "store", "realtime", "push", "config"},
    "handlers": {"payments", "community", "store", "realtime", "push", "config"},
    "payments": {"community", "store", "realtime", "push", "config"},
    "community": {"store", "realtime", "push", "config"},
    "store": {"config"},
    "realtime": {"config"},
    "push": {"config"},
    "config": set(),
}
DOORS = {
    "pymongo": {"store"},
    "bson": {"store"},
    "marshmallow": {"handlers"},
    "apispec": {"handlers"},
    "tornado": {"handlers", "server", "scripts"},
    "aiosmtplib": {"push"},
    "jwt": {"community"},
    "argon2": {"community"},
    "prometheus_client": {"config"},
    "stripe": {"payments/stripe_gateway.py"},
    "httpx": {"payments/stripe_gateway.py"},
    "firebase_admin": {"push/fcm.py"},
    "PIL": {"community/images.py"},
    "multipart": {"handlers/forms.py"},
    "boto3": {"store/media_s3.py"},
    "redis": {"realtime", "config", "handlers/shared_counts.py", "push/debounce.py"},
    "limits": {"handlers"},
}
# `Deps` names the types of everything it holds; at run time it imports none of them.
TYPES_ONLY = {"config/deps.py"}


def modules() -> Iterator[Path]:
    yield ROOT / "server.py"
    for folder in ARROWS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Give the modules a file imports, those inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden: set[ast.AST] = set()
    if path.relative_to(ROOT).as_posix() in TYPES_ONLY:
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.If)
                and isinstance(node.test, ast.Name)
                and node.test.id == "TYPE_CHECKING"
            ):
                hidden.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def home(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_run_rightwards(path: Path) -> None:
    """server.py, scripts/ -> handlers/ -> payments/ -> community/ -> store/ | realtime/ | push/ -> config/."""
    folder = home(path)
    name = path.relative_to(ROOT).as_posix()
    for imported in imports(path):
        top = imported.split(".")[0]
        if top in ARROWS and top != folder:
            assert top in ARROWS[folder], f"{name} imports {imported}, but imports run rightwards only"
        if top in DOORS:
            assert DOORS[top] & {folder, name}, f"{name} imports {top}, whose door is {sorted(DOORS[top])}"
        assert top != "tests", f"{name} imports the tests"


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_opens_with_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} says nothing about itself"


def test_only_settings_read_the_environment() -> None:
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        if name != "config/settings.py":
            found = [
                node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
            ]
            assert "environ" not in found, f"{name} reads the environment"
            assert "getenv" not in found, f"{name} reads the environment"


def test_payments_know_no_float() -> None:
    """No float in `payments/`: no literal, no name, and no division that makes one."""
    for path in sorted((ROOT / "payments").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{where}: a float"
            assert not (isinstance(node, ast.Name) and node.id == "float"), f"{where}: `float`"
            assert not isinstance(node, ast.Div), f"{where}: a true division"
