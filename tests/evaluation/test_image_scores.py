"""Scores of many images: what went in comes out, and sums are those of the objects."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fuse.evaluation.image_scores import ImageScore, ImageScores
from fuse.findings import Note
from fuse.metrics.pq import PQStats, sum_stats

counts = st.integers(0, 2**40)
rows = st.dictionaries(
    st.integers(1, 2**31 - 1),
    st.tuples(st.floats(0, 1e6, allow_subnormal=False), counts, counts, counts),
    max_size=5,
)


def as_stats(by_category):
    category_ids = sorted(by_category)
    columns = zip(*(by_category[i] for i in category_ids), strict=True) if by_category else [()] * 4
    kinds = (np.float64, np.int64, np.int64, np.int64)
    values = (np.array(column, kind) for column, kind in zip(columns, kinds, strict=True))
    return PQStats(np.array(category_ids, np.int32), *values)


def as_values(score):
    stats = score.stats
    columns = (stats.category_ids, stats.iou_sum, stats.tp, stats.fp, stats.fn)
    kinds = [column.dtype for column in columns]
    return score.image_id, score.file_name, [c.tolist() for c in columns], kinds, score.notes


def make_scores(images):
    return [
        ImageScore(
            n,
            f"{n}.jpg",
            as_stats(of_image),
            (Note("pred-missing", "x"),) * (n % 3 == 1),
            {"small": as_stats(of_image)},
        )
        for n, of_image in enumerate(images)
    ]


@given(st.lists(rows, max_size=6))
def test_what_went_in_comes_out(images):
    scores = make_scores(images)
    kept = ImageScores(scores)
    assert len(kept) == len(scores)
    assert list(map(as_values, kept)) == list(map(as_values, scores))
    assert list(kept.notes()) == [note for score in scores for note in score.notes]
    assert kept.find_noted("pred-missing") == {score.image_id for score in scores if score.notes}
    assert kept.find_noted("turned") == set()


@given(st.lists(rows, max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_parts_make_the_whole(images, first, second):
    scores = make_scores(images)
    parts = ImageScores(scores[:first])
    parts.extend(ImageScores(scores[first : first + second]))
    parts.extend(ImageScores(scores[first + second :]))
    assert list(map(as_values, parts)) == list(map(as_values, scores))
    assert list(parts.notes()) == [note for score in scores for note in score.notes]
    for layer in parts.layers.values():
        assert [s.tp.tolist() for s in layer] == [s.stats.tp.tolist() for s in scores]


@given(st.lists(rows, max_size=6))
def test_sums_are_those_of_the_objects_to_the_last_digit(images):
    scores = [ImageScore(n, "", as_stats(of_image)) for n, of_image in enumerate(images)]
    total, expected = ImageScores(scores).sum(), sum_stats(score.stats for score in scores)
    assert as_values(ImageScore(0, "", total)) == as_values(ImageScore(0, "", expected))


def test_images_in_another_order():
    scores = ImageScores(
        ImageScore(i, f"{i}.jpg", as_stats({7: (0.1 * i, i, 0, 0)})) for i in (3, 1, 2)
    )
    assert [score.file_name for score in scores.in_order_of([1, 9, 3])] == ["1.jpg", "3.jpg"]
    assert [score.stats.tp.tolist() for score in scores.in_order_of([2])] == [[2]]
