"""`fuse.evaluate`: of a run that kept what its nets said it scores the two nets as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fuse.evaluation import evaluate as files
from fuse.evaluation.evaluate import Evaluation
from fuse.io.files import RUN_FILE, StrPath, to_path


def evaluate(
    gt: StrPath,
    pred: StrPath,
    *,
    gt_dir: StrPath | None = None,
    pred_dir: StrPath | None = None,
    official: bool = False,
    strict: bool = False,
    semantic: StrPath | None = None,
    instances: StrPath | None = None,
    measures: Sequence[str] = (),
    seed: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """`fuse.evaluation.evaluate.evaluate`, which has the contract, and for a run its nets' scores.

    A run that kept its predictions has mIoU and mask AP of its two nets as well, unless `semantic`
    or `instances` name others.
    """
    evaluation = files.evaluate(
        *(gt, pred),
        gt_dir=gt_dir,
        pred_dir=pred_dir,
        official=official,
        strict=strict,
        semantic=semantic,
        instances=instances,
        measures=measures,
        seed=seed,
        workers=workers,
        on_progress=on_progress,
    )
    if semantic or instances:
        return evaluation
    path = to_path(pred)
    if not (path / RUN_FILE).is_file():
        return evaluation
    from fuse.analysis.net_scores import add_nets  # which loads all that a run is made of

    return add_nets(evaluation, path, gt, gt_dir, workers)
