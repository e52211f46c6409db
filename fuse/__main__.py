"""``python -m fuse``."""

from fuse.cli import main

if __name__ == "__main__":
    main()
