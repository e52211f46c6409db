"""Write the project's public address, `tool.fuse.address` in pyproject.toml, where it is needed.

    python scripts/project_address.py            # after the address has changed
    python scripts/project_address.py --check    # part of scripts/check; writes nothing

The address is empty as long as the project has none. Links, badges and contacts that need one
stand between two comments, `address: NAME` and `address: end`, and are written by nothing but this
script; those of the pages below the address are GitHub's. Prints the names of changed files;
with --check it exits with 1 where there is one.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = (
    "README.md",
    "pyproject.toml",
    "CITATION.cff",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
    ".github/ISSUE_TEMPLATE/config.yml",
)
BLOCK = re.compile(
    r"^((?:#|<!--) address: (\S+)(?: -->)?\n)(.*?)(^(?:#|<!--) address: end(?: -->)?\n)",
    flags=re.MULTILINE | re.DOTALL,
)
# What stands in each block once there is an address.
TEXTS = {
    "badges": "[![tests]({0}/actions/workflows/tests.yml/badge.svg)]"
    "({0}/actions/workflows/tests.yml)\n",
    "urls": """[project.urls]
Homepage = "{0}"
Documentation = "{0}/tree/main/docs"
Changelog = "{0}/blob/main/CHANGELOG.md"
Issues = "{0}/issues"
""",
    "citation": 'repository-code: "{0}"\n',
    "private-report": "The form: <{0}/security/advisories/new>.\n",
    "contact-links": """contact_links:
  - name: A file that does harm
    url: {0}/security/advisories/new
    about: Privately, please, as SECURITY.md says.
""",
}
# And as long as there is none; nothing for the others.
TEXTS_WITHOUT = {
    "private-report": "The project is not hosted in public yet, so there is no such form: tell the "
    "person who\ngave you this copy.\n"
}


def read_address(root: Path) -> str:
    """The address in pyproject.toml, empty where there is none yet.

    Raises:
        ValueError: it is no address of a web page, or ends with a slash.
    """
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    address = str(settings["tool"]["fuse"]["address"])
    if address and not re.fullmatch(r"https://[\w.-]+(/[\w.-]+)+", address):
        raise ValueError(f"tool.fuse.address: expected 'https://HOST/OWNER/NAME', got '{address}'")
    return address


def fill_blocks(text: str, address: str) -> str:
    """The text with every block as the address has it."""

    def fill(block: re.Match[str]) -> str:
        head, name, _, end = block.groups()
        content = TEXTS[name].format(address) if address else TEXTS_WITHOUT.get(name, "")
        return head + content + end

    return BLOCK.sub(fill, text)


def find_changes(root: Path) -> dict[Path, str]:
    """The files whose blocks are not as the address has them, with the text that they should have.

    Raises:
        ValueError: the address is no address.
        KeyError: a block has an unknown name.
    """
    address = read_address(root)
    changes = {}
    for path in (root / name for name in FILES):
        text = path.read_text(encoding="utf-8")
        if (filled := fill_blocks(text, address)) != text:
            changes[path] = filled
    return changes


def main() -> None:
    """Write or check the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 instead")
    options = parser.parse_args()
    changes = find_changes(ROOT)
    for path, text in changes.items():
        print(path.relative_to(ROOT))
        if not options.check:
            path.write_text(text, encoding="utf-8", newline="\n")
    if options.check and changes:
        sys.exit("not as tool.fuse.address has it: run python scripts/project_address.py")


if __name__ == "__main__":
    main()
