"""``fuse`` and ``python -m fuse``."""

import gc


def main() -> None:
    """Run the command line.

    Python looks through all objects for cycles while modules load, and once more at the exit:
    with torch a second and a half in all. So it does not before the first image
    (`fuse.cli.progress.image_progress`), and never at what is left at the exit.
    """
    gc.disable()
    try:
        from fuse.cli import main as run_command

        run_command()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
