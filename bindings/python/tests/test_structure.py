"""No two modules of the package import each other at run time."""

from __future__ import annotations

import ast
from pathlib import Path

import brama


def imports(path: Path) -> set[str]:
    """The modules of the package that a module imports when it is loaded."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.ImportFrom) and statement.level == 1:
            names = [statement.module] if statement.module else [a.name for a in statement.names]
            found.update(name.split(".")[0] for name in names)
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" not in ast.dump(statement.test):
            waiting += statement.body + statement.orelse
        elif isinstance(statement, ast.Try):
            waiting += statement.body + statement.orelse + statement.finalbody
    return found


def test_imports_make_no_circle() -> None:
    folder = Path(brama.__file__).parent
    graph = {path.stem: imports(path) for path in folder.glob("*.py")}
    assert len(graph) > 10
    done: set[str] = set()
    while len(done) < len(graph):
        ready = {name for name, needed in graph.items() if needed & graph.keys() <= done}
        assert ready - done, f"a circle among {sorted(graph.keys() - done)}"
        done |= ready
