"""Build the docs as a site: README and docs/, the API from docstrings, the commands from --help.

Inputs: README.md, docs/, the package. Output: HTML in --out, by mkdocs with the theme material and
mkdocstrings (extra `docs`); a warning, as of a link that leads nowhere, is an error. Material is
the generator that most Python projects of the field use, with search and a dark theme built in,
and mkdocstrings reads docstrings in Google's style. The notebooks are run, which takes half a
minute; what they draw on the site is what they draw today.

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
import nbformat
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

import fuse
from fuse.cli import main as cli

__all__ = ["Abort", "build_site"]

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "docs" / "notebooks"
# Pages that lie outside of docs/, and their places on the site.
OUTSIDE = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "release_process.md": "releases.md",
    "examples/README.md": "examples.md",
    "fuse/weights/MODEL_CARD.md": "model-card.md",
    "fuse/weights/MODEL_CARD_FPN.md": "model-card-fpn.md",
}
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")
PATIENCE = 600  # seconds of a notebook's cell; a busy machine is no failure


def collect_pages(pages: Path) -> None:
    """Put all of docs/ and the pages outside of it into a folder, with links that hold there."""
    shutil.copytree(ROOT / "docs", pages, dirs_exist_ok=True)
    sources = {path: ROOT / "docs" / path.relative_to(pages) for path in pages.rglob("*.md")}
    sources |= {pages / name: ROOT / source for source, name in OUTSIDE.items()}
    for path, source in sorted(sources.items()):
        path.write_text(move_links(source.read_text("utf-8"), source, path, pages), "utf-8")


def move_links(text: str, source: Path, page: Path, pages: Path) -> str:
    """The text of a page at its new place; links to what is not on the site become plain words.

    A link whose words are the name of a page gets the page's title.
    """

    def move(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        if target.startswith(("https://", "http://", "mailto:")):
            return match[0]
        found = (source.parent / target).resolve()
        outside = {ROOT / path: pages / name for path, name in OUTSIDE.items()}
        if found in outside:
            place = outside[found]
        elif found.is_relative_to(ROOT / "docs") and found.exists():
            place = pages / found.relative_to(ROOT / "docs")
        else:
            return words
        if place.suffix == ".ipynb":
            place = place.with_suffix(".md")
        if words.endswith(".md"):
            words = found.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        relative = os.path.relpath(place, page.parent).replace(os.sep, "/")
        return f"[{words}]({relative}{anchor})"

    # GitHub wants a bar in a table's code escaped, the site's Markdown takes it as it stands.
    return re.sub(r"(?m)^\|.*$", lambda row: row[0].replace("\\|", "|"), LINK.sub(move, text))


def write_api(path: Path) -> None:
    """A page of the public names, each with its docstring."""
    parts = [
        "# Python names\n\n`import fuse` offers these; `fuse.api` has the commands as functions.\n"
    ]
    for name in sorted(set(fuse.__all__) - {"api", "__version__"}, key=str.lower):
        home = getattr(fuse, name).__module__
        parts.append(f"::: {home}.{name}\n    options:\n      heading: fuse.{name}\n")
    path.write_text("\n".join(parts), "utf-8")


def run_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook of docs/ with its outputs, run where it lies.

    Raises:
        CellExecutionError: a cell raised.
    """
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    settings = {"timeout": PATIENCE, "kernel_name": "python3", "coalesce_streams": True}
    NotebookClient(notebook, resources=place, **settings).execute()
    return notebook


def write_notebook(path: Path, pages: Path) -> None:
    """Run a notebook, and put it and a page of what it says and draws among the pages."""
    notebook = run_notebook(path)
    folder = pages / "notebooks"
    nbformat.write(notebook, folder / path.name)
    page = folder / f"{path.stem}.md"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = move_links(cell.source, path, page, pages)
        else:  # what libraries say of themselves on stderr is of no page
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    text, made = MarkdownExporter().from_notebook_node(
        notebook, {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    )
    for name, content in made["outputs"].items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    title, _, rest = text.lstrip().partition("\n")
    download = f"[This notebook, with its outputs](./{path.name}){{download}}"
    rest = rest.replace("![png](", "![What the cell above draws](")
    page.write_text(f"{title}\n\n{download}\n{rest}", "utf-8")


def write_cli(path: Path) -> None:
    """Add what each command's --help says to the page of commands."""
    parts = [path.read_text("utf-8")]
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
    pages.mkdir(parents=True)
    collect_pages(pages)
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        write_notebook(notebook, pages)
    write_api(pages / "reference.md")
    write_cli(pages / "commands.md")
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
