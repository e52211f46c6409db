"""Kernels on arrays: id coding, pair counts, masks inside their boxes, upsample + argmax."""
