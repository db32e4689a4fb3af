"""The house has rules, and these hold them: which way imports go, which names are not used, what has a docstring.

The table of packages in `docs/architecture.md` is the source. Every import counts: those inside functions and those
for type checking as well.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "roost_protocol": ROOT / "protocol/roost_protocol",
    "roost_broker": ROOT / "broker/roost_broker",
    "roost_admin": ROOT / "admin/roost_admin",
    "roost": ROOT / "client/roost",
    "roost_benchmarks": ROOT / "benchmarks/roost_benchmarks",
    "roost_web": ROOT / "web/roost_web",
}
FILES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))

OURS = ("roost", "roost_protocol", "roost_broker", "roost_admin", "roost_benchmarks", "roost_web", "tests")

LINES_MAX = 600
"""A file that is longer does more than one thing."""

FORBIDDEN = frozenset({"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"})
"""Names that say nothing of what is inside."""

PORT = "roost_broker.transport.port"


class Part(NamedTuple):
    """A part of the house, by the modules it consists of, and what of ours it may import."""

    modules: tuple[str, ...]
    may: tuple[str, ...]
    may_late: tuple[str, ...] = ()
    """Only inside functions, when it is needed: to start something."""


# The first part that a module belongs to is the one it is held to.
PARTS = (
    Part(("roost_protocol",), may=("roost_protocol",)),
    Part(("roost_broker.store",), may=("roost_protocol", "roost_broker.store")),
    Part(("roost_broker.transport",), may=("roost_protocol", "roost_broker.transport")),
    # From the configuration to transports that listen.
    Part(("roost_broker.listening",), may=("roost_protocol", "roost_broker.transport", "CORE")),
    # The whole of the broker: `app` opens what a configuration asks for, the store only when it runs.
    Part(("roost_broker.app",), may=("roost_protocol", "roost_broker"), may_late=("roost_broker",)),
    Part(("roost_broker.http",), may=("roost_protocol", "roost_broker.http", "roost_broker.transport", "CORE")),
    # The pages are loaded when there is a listener for them.
    Part(
        ("roost_broker.web",),
        may=("roost_protocol", "roost_broker.web", "roost_broker.http", "roost_broker.transport", "CORE"),
        may_late=("roost_web",),
    ),
    Part(("roost_broker",), may=("roost_protocol", "roost_broker.store", "roost_broker.transport", "CORE")),
    # `roost bench` is loaded when it is asked for: no other command waits for it.
    Part(
        ("roost_admin",), may=("roost_protocol", "roost", "roost_admin"), may_late=("roost_broker", "roost_benchmarks")
    ),
    # The simulation runs the whole broker with the real client, and is loaded by who asks for it alone.
    Part(("roost.simulation",), may=("roost_protocol", "roost", "roost_broker")),
    Part(("roost",), may=("roost_protocol", "roost")),
    # The verbs of `roost bench` are part of the command; below them the benchmarks know wire and store alone.
    Part(
        ("roost_benchmarks.command", "roost_benchmarks.against"),
        may=("roost_protocol", "roost_admin", "roost_benchmarks"),
    ),
    Part(("roost_benchmarks",), may=("roost_protocol", "roost_broker.store", "roost_benchmarks")),
    Part(("roost_web",), may=("roost_web",)),
)

OUTSIDE = {
    "roost_protocol": {"msgspec"},
    "roost_broker": {
        "msgspec",
        "trio",
        "outcome",
        "argon2",
        "cryptography",
        "lmdb",
        "h11",
        "jwt",
        "prometheus_client",
        "wsproto",
        "xxhash",
    },
    "roost": {"msgspec", "trio"},
    "roost_admin": {"msgspec", "trio", "click", "rich", "h11"},
    "roost_benchmarks": {"msgspec", "click", "rich", "argon2", "hdrh", "matplotlib", "playwright"},
    "roost_web": set(),
}
"""What each package may import that is neither ours nor Python's: nobody gets a dependency unawares."""


class Import(NamedTuple):
    """One module imported somewhere. `late`: inside a function; `typing`: for the type checker alone."""

    by: str
    line: int
    module: str
    late: bool
    typing: bool

    def __str__(self) -> str:
        return f"{self.by}:{self.line} imports {self.module}"


def module_of(path: Path) -> str:
    """`roost_broker.store.port` for its file."""
    for name, folder in PACKAGES.items():
        if path.is_relative_to(folder):
            inner = path.relative_to(folder).with_suffix("").parts
            return ".".join((name, *(part for part in inner if part != "__init__")))
    raise AssertionError(f"{path} is in no package")


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import in a file, wherever it stands. `from a import b` counts as `a.b` where that is a module."""
    return tuple(_imports(tree_of(path), module_of(path), path, late=False, typing=False))


def _imports(node: ast.AST, by: str, path: Path, *, late: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checking = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        match child:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(by, child.lineno, alias.name, late, typing)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = _absolute(module, level, by, path)
                for alias in names:
                    whole = f"{base}.{alias.name}"
                    yield Import(by, child.lineno, whole if is_module(whole) else base, late, typing)
        yield from _imports(child, by, path, late=inside, typing=checking)


def _absolute(module: str | None, level: int, by: str, path: Path) -> str:
    if not level:
        return module or ""
    parts = by.split(".") if path.name == "__init__.py" else by.split(".")[:-1]
    parts = parts[: len(parts) - (level - 1)]
    return ".".join([*parts, module] if module else parts)


@cache
def modules() -> frozenset[str]:
    """Every module of ours."""
    return frozenset(module_of(path) for path in FILES)


def is_module(name: str) -> bool:
    """Whether this is the name of a module of ours."""
    return name in modules()


def within(module: str, package: str) -> bool:
    """Whether `module` is `package` or in it."""
    return module == package or module.startswith(package + ".")


def is_core(module: str) -> bool:
    """Whether a module is of the broker's core: everything in it but store, transports, HTTP and the application."""
    outer = ("store", "transport", "listening", "http", "web", "app")
    return within(module, "roost_broker") and not any(within(module, f"roost_broker.{name}") for name in outer)


def part_of(module: str) -> Part:
    """The part of the house that a module belongs to."""
    return next(part for part in PARTS if any(within(module, package) for package in part.modules))


def allowed(found: Import) -> bool:
    """Whether this import goes the right way."""
    part = part_of(found.by)
    may = part.may + (part.may_late if found.late else ())
    return any(is_core(found.module) if package == "CORE" else within(found.module, package) for package in may)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_one_way_only(path: Path) -> None:
    ours = [found for found in imports_of(path) if found.module.partition(".")[0] in OURS]
    wrong = [str(found) for found in ours if not allowed(found) and not _is_embedding(found)]
    assert not wrong, "\n".join(wrong)


def _is_embedding(found: Import) -> bool:
    """`roost.Broker` is the broker's application: known by name to the type checker, loaded when it is used."""
    return found.by == "roost" and found.module == "roost_broker.app" and (found.late or found.typing)


def test_the_client_names_no_other_package_to_load_by_name() -> None:
    """A name given to `import_module` is an import as well."""
    for path in FILES:
        if within(module_of(path), "roost"):
            strings = {node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)}
            named = {
                each for each in strings if isinstance(each, str) and each.startswith(("roost_broker", "roost_admin"))
            }
            assert named <= ({"roost_broker.app"} if module_of(path) == "roost" else set()), module_of(path)


def test_the_core_knows_transports_only_as_a_port() -> None:
    """No socket in the core: of the transports it names the port alone, which the package gives."""
    for path in FILES:
        if is_core(module_of(path)):
            for found in imports_of(path):
                if within(found.module, "roost_broker.transport"):
                    assert found.module in ("roost_broker.transport", PORT), str(found)


def test_the_transport_package_gives_the_port_alone() -> None:
    """Or whoever imports the port would load a socket."""
    package = PACKAGES["roost_broker"] / "transport/__init__.py"
    assert {found.module for found in imports_of(package)} == {PORT}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_only_known_packages_come_from_outside(path: Path) -> None:
    known = OUTSIDE[module_of(path).partition(".")[0]]
    tops = {found.module.partition(".")[0] for found in imports_of(path)} - set(OURS)
    assert tops - known <= python_has(), f"{sorted(tops - known - python_has())} in {module_of(path)}"


@cache
def python_has() -> frozenset[str]:
    """The modules of Python itself."""
    import sys

    return sys.stdlib_module_names


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_protocol_and_store_do_no_networking(path: Path) -> None:
    """Bytes in, events out: no socket, no event loop, no clock."""
    module = module_of(path)
    if within(module, "roost_protocol") or within(module, "roost_broker.store"):
        forbidden = {"socket", "ssl", "asyncio", "selectors", "trio", "time"}
        found = {found.module.partition(".")[0] for found in imports_of(path)}
        assert not found & forbidden


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_names_say_something(path: Path) -> None:
    """Files, classes and functions; `handler` only with what it handles."""
    names = [*path.relative_to(ROOT).with_suffix("").parts]
    names += [node.name for node in ast.walk(tree_of(path)) if isinstance(node, DEFINITIONS)]
    for name in names:
        words = {word.lower() for word in _words(name)}
        assert not words & FORBIDDEN, name
        assert name.lower().strip("_") not in {"handler", "handle"}, name


def _words(name: str) -> list[str]:
    spaced = "".join(f" {char}" if char.isupper() else char for char in name)
    return spaced.replace("_", " ").split()


DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_public_things_have_a_docstring(path: Path) -> None:
    tree = tree_of(path)
    missing = [] if ast.get_docstring(tree) or not tree.body else ["the module"]
    missing += [name for name, node in _public(tree) if not ast.get_docstring(node)]
    assert not missing, f"{module_of(path)}: no docstring on {', '.join(missing)}"


def _public(
    scope: ast.Module | ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in scope.body:
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_file_has_outgrown_its_purpose(path: Path) -> None:
    lines = path.read_text("utf-8").count("\n")
    assert lines <= LINES_MAX, f"{lines} lines"


def test_every_package_is_typed() -> None:
    assert all((folder / "py.typed").exists() for folder in PACKAGES.values())


# --- the rules themselves bite ---


@pytest.mark.parametrize(
    ("by", "module", "late"),
    [
        ("roost_protocol.codec", "roost_broker.store", False),
        ("roost_protocol.codec", "roost", False),
        ("roost_broker.store.lmdb", "roost_broker.core", True),
        ("roost_broker.transport.tcp", "roost_broker.session", False),
        ("roost_broker.session", "roost_broker.app", True),
        ("roost_broker.session", "roost_broker.http.server", False),
        ("roost_broker.http.server", "roost_broker.store", False),
        ("roost_admin.main", "roost_broker.app", False),
        ("roost_admin.main", "roost_benchmarks.command", False),
        ("roost_broker.store.lmdb", "roost_benchmarks.floor", True),
        ("roost_benchmarks.floor", "roost_broker.batcher", False),
        ("roost.session", "roost_broker.app", True),
        ("roost.session", "roost_admin.main", True),
    ],
)
def test_a_wrong_import_is_found(by: str, module: str, late: bool) -> None:
    assert not allowed(Import(by, 1, module, late, typing=False))


@pytest.mark.parametrize(
    ("by", "module", "late"),
    [
        ("roost_protocol.codec", "roost_protocol.frames", False),
        ("roost_broker.session", "roost_broker.link", False),
        ("roost_broker.session", "roost_broker.store.operations", False),
        ("roost_broker.http.admin", "roost_broker.administration", False),
        ("roost_broker.app", "roost_broker.store.lmdb", True),
        ("roost_admin.main", "roost_broker.app", True),
        ("roost_admin.main", "roost", False),
        ("roost_admin.main", "roost_benchmarks.command", True),
        ("roost_benchmarks.command", "roost_admin.options", False),
        ("roost_benchmarks.floor", "roost_broker.store.lmdb", False),
    ],
)
def test_a_right_import_is_not(by: str, module: str, late: bool) -> None:
    assert allowed(Import(by, 1, module, late, typing=False))


def test_late_imports_and_those_for_typing_are_seen() -> None:
    source = (
        "if TYPE_CHECKING:\n    import a\ndef f():\n    from b import c\n    class D:\n        import e\nimport g.h\n"
    )
    path = PACKAGES["roost_broker"] / "core.py"
    found = {
        each.module: (each.late, each.typing)
        for each in _imports(ast.parse(source), "x", path, late=False, typing=False)
    }
    assert found == {"a": (False, True), "b": (True, False), "e": (True, False), "g.h": (False, False)}
