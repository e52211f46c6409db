"""Rules refuse what is not theirs before they look at a pixel."""

import numpy as np
import pytest
from factories import TOY_SPACE, box_instances, semantic_prediction

from fuse.fusion import fuse_by_overlap
from fuse.fusion.checks import check_image


def test_each_prediction_in_the_other_s_place():
    rng = np.random.default_rng(0)
    semantic, instances = semantic_prediction(rng, (4, 6)), box_instances(rng, (4, 6), 0)
    for check in (fuse_by_overlap, check_image):
        with pytest.raises(TypeError, match="semantic must be SemanticPrediction, got Instances"):
            check(instances, semantic, TOY_SPACE)
        with pytest.raises(TypeError, match="instances must be Instances, got ndarray"):
            check(semantic, np.zeros((4, 6)), TOY_SPACE)
    check_image(semantic, instances, TOY_SPACE)
