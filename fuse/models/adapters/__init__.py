"""One module per kind of net that a preset can name."""
