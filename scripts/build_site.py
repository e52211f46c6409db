"""Build the docs as a site: README and docs/, the API from docstrings, the commands from --help.

Inputs: README.md, docs/, the package. Output: HTML in --out, by mkdocs with the theme material and
mkdocstrings (extra `docs`); a warning, as of a link that leads nowhere, is an error. Material is
the generator that most Python projects of the field use, with search and a dark theme built in,
and mkdocstrings reads docstrings in Google's style.

    python scripts/build_site.py
    python -m http.server --directory build/site
"""

from __future__ import annotations

import argparse
import os.path
import re
import shutil
from pathlib import Path

import click
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

import fuse
from fuse.cli import main as cli

__all__ = ["Abort", "build_site"]

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")


def collect_pages(pages: Path) -> None:
    """Put README, as the start page, and all of docs/ into a folder, with links that hold there."""
    shutil.copytree(ROOT / "docs", pages, dirs_exist_ok=True)
    for path in sorted(pages.rglob("*.md")):
        source = ROOT / "docs" / path.relative_to(pages)
        path.write_text(move_links(source.read_text("utf-8"), source, path, pages), "utf-8")
    readme = ROOT / "README.md"
    index = pages / "index.md"
    index.write_text(move_links(readme.read_text("utf-8"), readme, index, pages), "utf-8")


def move_links(text: str, source: Path, page: Path, pages: Path) -> str:
    """The text of a page at its new place; links to what is not on the site become plain words."""

    def move(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        if target.startswith(("https://", "http://", "mailto:")):
            return match[0]
        found = (source.parent / target).resolve()
        if found == ROOT / "README.md":
            place = pages / "index.md"
        elif found.is_relative_to(ROOT / "docs") and found.exists():
            place = pages / found.relative_to(ROOT / "docs")
        else:
            return words
        relative = os.path.relpath(place, page.parent).replace(os.sep, "/")
        return f"[{words}]({relative}{anchor})"

    return LINK.sub(move, text)


def write_api(path: Path) -> None:
    """A page of the public names, each with its docstring."""
    parts = ["# Python\n\n`import fuse` offers these names; `fuse.api` has all commands.\n"]
    for name in sorted(set(fuse.__all__) - {"api", "__version__"}, key=str.lower):
        home = getattr(fuse, name).__module__
        parts.append(f"::: {home}.{name}\n    options:\n      heading: fuse.{name}\n")
    path.write_text("\n".join(parts), "utf-8")


def write_cli(path: Path) -> None:
    """A page of what each command's --help says."""
    parts = ["# Commands\n"]
    context = click.Context(cli, info_name="fuse")
    for name, command in _list_commands(cli, context):
        parts.append(f"## {name}\n\n```text\n{command}\n```\n")
    path.write_text("\n".join(parts), "utf-8")


def _list_commands(group: click.Group, context: click.Context) -> list[tuple[str, str]]:
    found = []
    for name in sorted(group.list_commands(context)):
        command = group.get_command(context, name)
        if command is None:
            continue
        own = click.Context(command, info_name=name, parent=context)
        found.append((own.command_path, command.get_help(own)))
        if isinstance(command, click.Group):
            found += _list_commands(command, own)
    return found


def build_site(out: Path) -> None:
    """Collect the pages beside a folder, and build the site into it.

    Raises:
        Abort: there is a warning.
    """
    pages = out.with_name(f"{out.name}-pages")
    shutil.rmtree(pages, ignore_errors=True)
    (pages / "reference").mkdir(parents=True)
    collect_pages(pages)
    write_api(pages / "reference" / "python.md")
    write_cli(pages / "reference" / "commands.md")
    settings = load_config(
        str(ROOT / "mkdocs.yml"), docs_dir=str(pages), site_dir=str(out), strict=True
    )
    build(settings)


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    out: Path = parser.parse_args().out.resolve()
    build_site(out)
    print(out)


if __name__ == "__main__":
    main()
