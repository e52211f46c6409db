"""The names that fuse offers, and what importing it costs."""

import subprocess
import sys

import fuse


def test_all_is_exact():
    homes = {name for names in fuse._HOMES.values() for name in names}
    assert set(fuse.__all__) == homes | {"__version__", "api"}
    assert list(fuse.__all__) == sorted(fuse.__all__)


def test_every_name_can_be_had():
    for name in fuse.__all__:
        assert getattr(fuse, name) is not None


def test_names_are_offered_for_completion():
    assert set(fuse.__all__) <= set(dir(fuse))


def test_help_loads_no_heavy_package():
    code = (
        "import sys; from click.testing import CliRunner; from fuse.cli import main;"
        "result = CliRunner().invoke(main, ['--help']); assert result.exit_code == 0;"
        "heavy = {'torch', 'numba', 'cv2', 'numpy', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
