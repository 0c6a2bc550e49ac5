"""The README, the pages, the examples and `help`: their programs run, and print what the text
says."""

from __future__ import annotations

import inspect
import pydoc
import re
import subprocess
import sys
import textwrap
import typing
from pathlib import Path
from typing import Any, Union, cast

import pytest

import brama
from conftest import SOURCE, Program, World

README = (SOURCE / "README.md").read_text()
COMING_FROM = (SOURCE / "docs" / "coming-from.md").read_text()
IN_PRODUCTION = (SOURCE / "docs" / "in-production.md").read_text()
CHAPTERS = SOURCE.parents[1] / "src" / "docs"
RULES = (CHAPTERS / "rules.md").read_text()
PAGES = ("README.md", "docs/coming-from.md", "docs/in-production.md")


def printing(text: str) -> list[tuple[str, str]]:
    """The snippets of a page, and the output that the page shows for each."""
    found: list[tuple[str, str]] = re.findall(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", dedented(text), re.MULTILINE | re.DOTALL
    )
    assert len(found) == len(blocks(text, "python"))
    return found


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", dedented(text), re.MULTILINE | re.DOTALL)


def dedented(text: str) -> str:
    """A page whose blocks in lists begin at the margin."""
    block = r"^  ```\w+\n(?:(?:  .*)?\n)*?  ```$"
    return re.sub(block, lambda found: textwrap.dedent(found[0]), text, flags=re.MULTILINE)


def test_the_readme_prints_what_it_says(program: Program) -> None:
    """The snippets run one after the other in one program, as a reader of the page runs them."""
    snippets = printing(README)
    assert len(snippets) >= 8
    out = program("\n".join(code for code, _ in snippets))
    assert out == "".join(text for _, text in snippets)


def test_each_snippet_of_the_readme_is_whole(program: Program) -> None:
    """A reader may copy one of them alone."""
    for code, text in printing(README):
        assert program(code) == text, code


def test_the_page_in_production_prints_what_it_says(program: Program) -> None:
    snippets = printing(IN_PRODUCTION)
    assert len(snippets) >= 2
    for code, text in snippets:
        assert program(code) == text


def test_the_chapters_print_what_they_say(program: Program) -> None:
    snippets = [pair for page in CHAPTERS.glob("*.md") for pair in printing(page.read_text())]
    assert snippets
    for code, text in snippets:
        assert program(code) == text


def test_all_settings_are_in_the_readme() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    settings = {*typing.get_type_hints(brama.ConnectionSettings)}
    settings |= {*typing.get_type_hints(brama.ManagerSettings)}
    settings |= {"background", "event_capacity", "clock"}
    assert sorted(rows) == sorted(settings)
    named = re.findall(r"^\| `(\w+)=", README, re.MULTILINE)
    assert set(named) <= set(inspect.signature(brama.circuit).parameters)
    assert {"include", "exclude", "classify", "fallback", "fallback_on"} <= set(named)


def test_the_table_of_speeds_is_of_one_run_of_the_bench() -> None:
    """The bench writes the table. It has all rows that the bench measures."""
    found = re.search(
        r"^<!-- speeds, written by benches/guarded_calls.py -->\n(.*?)^<!-- end of speeds -->$",
        README,
        re.MULTILINE | re.DOTALL,
    )
    assert found
    rows = [line.split(" | ")[0].lstrip("| ") for line in found[1].splitlines()[2:]]
    bench = (SOURCE / "benches" / "guarded_calls.py").read_text()
    assert len(rows) == 8
    for row in rows:
        assert row.replace("4 threads", "{THREADS} threads") in bench, row


def test_a_reference_is_made_of_the_docstrings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pdoc", "-d", "google", "brama", "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Warn" not in done.stderr, done.stderr
    page = (tmp_path / "brama.html").read_text()
    for name in brama.__all__:
        assert f'id="{name}"' in page, name
    for method in ("Brama.status", "Connection.guard", "GuardedCall.result", "Status.trips"):
        assert f'id="{method}"' in page, method
    # A docstring below an attribute.
    assert "Openings since the circuit was last healthy" in page


def test_the_readme_of_the_project_has_a_snippet_that_runs(program: Program) -> None:
    root = (SOURCE.parents[1] / "README.md").read_text()
    (snippet,) = blocks(root, "python")
    assert program(snippet) == "paid: 100\nclosed\n"


def number_of(text: str) -> Union[int, float, str]:
    """The value of a cell, or of a setter's argument in Rust. Lengths of time are milliseconds."""
    if length := re.fullmatch(r"(\d+) (m?)s|Duration::from_(?:secs|milli(s))\((\d+)\)", text):
        in_ms = length[2] or length[3]
        return int(length[1] or length[4]) * (1 if in_ms else 1_000)
    if re.fullmatch(r"[\d.]+", text):
        return float(text) if "." in text else int(text)
    return text.replace("ExpiryStrategy::", "").lower()


def test_the_numbers_for_five_dependencies_are_those_of_the_examples(world: World) -> None:
    """The table and the programs in Rust have the same numbers, and Python takes them as settings.
    Another test compiles and runs the programs."""
    table = re.search(r"^\| setting \| fast.*?\n\n", RULES, re.MULTILINE | re.DOTALL)
    assert table
    head, _, *rows = [line.strip("| ").split("|") for line in table[0].splitlines() if line]
    examples = [
        dict(re.findall(r"^    \.(\w+)\((.*?)\);?$", code, re.MULTILINE))
        for code in blocks(RULES, "rust")
    ]
    assert len(examples) == len(head) - 1 == 5
    for column, example in enumerate(examples, 1):
        cells = {row[0].strip("` "): (*row, "", "")[column].strip() for row in rows}
        numbers = {name: number_of(cell) for name, cell in cells.items() if cell}
        assert numbers == {name: number_of(value) for name, value in example.items()}
        assert {"max_attempts", "failure_rate", "minimum_calls"} < set(numbers)
        x: Any = world.manager.register(head[column], **cast(Any, numbers))
        settings = x.status().settings
        assert {name: getattr(settings, name) for name in numbers} == numbers


def test_both_sides_of_a_comparison_do_the_same(program: Program) -> None:
    snippets = blocks(COMING_FROM, "python")
    assert len(snippets) == 6
    for theirs, ours in zip(snippets[::2], snippets[1::2]):
        assert "import brama" in ours and "brama" not in theirs
        assert program(ours) == program(theirs) == "Ada closed\n"


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", (SOURCE / page).read_text()):
            assert (SOURCE / page).parent.joinpath(link).exists(), link


@pytest.mark.parametrize("name", ["survives_an_outage.py", "asyncio_events.py"])
def test_the_examples_run(program: Program, name: str) -> None:
    out = program((SOURCE / "examples" / name).read_text())
    for change in ("closed -> open", "open -> half_open", "half_open -> closed"):
        assert change in out, out
    if name == "survives_an_outage.py":
        assert "(from memory)" in out and "calls were spared one" in out
    else:
        assert "not asked; again in" in out and out.endswith("At the end it is closed.\n")


def test_help_says_all(program: Program) -> None:
    text = pydoc.plain(pydoc.render_doc(brama))
    for name in brama.__all__:
        assert re.search(rf"\b{name}\b", text), name
        thing = getattr(brama, name)
        if isinstance(thing, type) or inspect.isroutine(thing):
            assert pydoc.getdoc(thing), f"{name} has no documentation"
    for name, method in vars(brama.Connection).items():
        if not name.startswith("_"):
            assert pydoc.getdoc(method), name


def test_what_the_package_says_of_itself(tmp_path: Path) -> None:
    crate = (SOURCE.parents[1] / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"$', crate, re.MULTILINE)
    project = re.search(
        r'^version = "(.*)"$', (SOURCE / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert version and project
    assert version[1] == project[1] == brama.__version__
    for licence in ("LICENSE", "LICENSE-APACHE", "LICENSE-MIT"):
        assert (SOURCE / licence).read_text() == (SOURCE.parents[1] / licence).read_text()
