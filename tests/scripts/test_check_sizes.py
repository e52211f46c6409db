"""The check of sizes: what is too long is named, what is just long enough is not."""

import pytest
from click.testing import CliRunner


@pytest.fixture(scope="module")
def sizes(import_script):
    return import_script("check_sizes")


def check(sizes, folder):
    done = CliRunner().invoke(sizes.main, [str(folder)])
    return done.exit_code, done.output


def write_function(folder, lines, *, before="", inside=""):
    body = "".join(f"    a{i} = {i}\n" for i in range(lines))
    (folder / "m.py").write_text(
        f'{before}def f(\n    a,\n):\n    """Says.\n\n    More.\n    """\n{inside}{body}'
    )


@pytest.mark.parametrize(("lines", "code"), [(40, 0), (41, 1)])
def test_lines_behind_signature_and_docstring_count(sizes, tmp_path, lines, code):
    write_function(tmp_path, lines)
    exit_code, output = check(sizes, tmp_path)
    assert exit_code == code
    assert ("f has 41 lines" in output) == bool(code)


def test_functions_inside_count_for_themselves(sizes, tmp_path):
    write_function(tmp_path, 39, inside="    def g():\n        return 1\n\n")
    assert check(sizes, tmp_path)[0] == 0


@pytest.mark.parametrize(("lines", "code"), [(400, 0), (401, 1)])
def test_long_files_are_named(sizes, tmp_path, lines, code):
    (tmp_path / "m.py").write_text("a = 1\n" * lines)
    exit_code, output = check(sizes, tmp_path)
    assert exit_code == code
    assert (f"m.py: {lines} lines" in output) == bool(code)
