"""PQ of files: read both, count pairs once, match, check."""
