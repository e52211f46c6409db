"""The scores of single images as a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fuse.evaluation.evaluate import Evaluation
from fuse.io.files import open_whole, take_text
from fuse.metrics.pq import summarize

CSV_COLUMNS = ("image_id", "file_name", "pq", "tp", "fp", "fn", "iou_sum")


@take_text
def write_per_image_csv(path: Path, evaluation: Evaluation) -> None:
    """Write one line per image: its counts, and PQ over the categories that it has.

    Raises:
        OSError: the folder is missing or not writable.
    """
    with open_whole(path) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for image in evaluation.images:
            stats = image.stats
            score = summarize(stats, evaluation.space).all
            counts = (int(column.sum()) for column in (stats.tp, stats.fp, stats.fn))
            pq = score.pq if score.n else ""
            iou_sum = float(stats.iou_sum.sum())
            writer.writerow((image.image_id, image.file_name, pq, *counts, iou_sum))
