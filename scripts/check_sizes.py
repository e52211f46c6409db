"""Holds the code to its sizes: no file over 400 lines, no function over 40.

Input: none, or folders (by default fuse, scripts and tests). A function's lines are those behind
its signature and its docstring, without the functions inside it. Expected output: one line, exit 0.

    python scripts/check_sizes.py
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("fuse", "scripts", "tests")
FILE_LINES = 400
FUNCTION_LINES = 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, path_type=Path))
def main(folders: tuple[Path, ...]) -> None:
    """Print what is too long and exit with 1, or say how much was read."""
    files = [p for folder in folders or [ROOT / f for f in FOLDERS] for p in folder.rglob("*.py")]
    too_long = [line for path in sorted(files) for line in find_too_long(path)]
    for line in too_long:
        click.echo(line)
    if too_long:
        raise SystemExit(1)
    click.echo(f"{len(files)} files: none over {FILE_LINES} lines, no function over "
               f"{FUNCTION_LINES}")  # fmt: skip


def find_too_long(path: Path) -> Iterator[str]:
    """A line for the file, and for each of its functions, that is too long."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield f"{path}: {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function) and (length := count_lines(node)) > FUNCTION_LINES:
            yield f"{path}:{node.lineno}: {node.name} has {length} lines"


def count_lines(function: Function) -> int:
    """Lines of a function behind its signature and docstring, without functions inside it.

    >>> count_lines(ast.parse("def f(a):\\n    'Says.'\\n    b = a\\n    return b\\n").body[0])
    2
    """
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    if not body:
        return 0
    length = (function.end_lineno or 0) - body[0].lineno + 1
    inside = [node for statement in body for node in ast.walk(statement)]
    nested = [node for node in inside if isinstance(node, Function)]
    outermost = [n for n in nested if not any(n is not o and n in ast.walk(o) for o in nested)]
    return length - sum((n.end_lineno or 0) - n.lineno + 1 for n in outermost)


if __name__ == "__main__":
    main()
