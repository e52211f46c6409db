"""What the types can be made of: the answers of other libraries, read by what they have.

`fuse.interop` does it, with kernels of rooms above this one; so it is imported where it is called.
Classes are joined by name. ``names`` says what a net's class numbers mean, a list or a dict as
``model.config.id2label``; a class whose name is None is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuse.types import Instances, LabelSpace, SemanticPrediction

Names = Sequence[str | None] | Mapping[int, str | None]


class InstanceReaders:
    """Constructors of `Instances`.

    All raise LabelSpaceError for a name that is not in the space, with the nearest ones, or that
    is stuff there, and TypeError or ValueError for what is no such answer.
    """

    __slots__ = ()

    @classmethod
    def from_masks(
        cls,
        masks: Any,  # noqa: ANN401 - arrays or tensors
        scores: Any,  # noqa: ANN401
        classes: Sequence[str],
        space: LabelSpace,
    ) -> Instances:
        """Instances of hard masks over the whole image.

        Args:
            masks: bool (N, H, W), or N of (H, W); N = 0 needs the former.
            scores: (N,) in 0..1.
            classes: the name of each in the space.
            space: where the names are looked up.
        """
        from fuse.interop import instances

        return instances.from_masks(masks, scores, classes, space)

    @classmethod
    def from_torchvision(
        cls,
        output: Mapping[str, Any],
        space: LabelSpace,
        names: Names,
        *,
        mask_threshold: float = 0.5,
    ) -> Instances:
        """What a Mask R-CNN of torchvision answers for one image.

        Args:
            output: with ``labels``, ``scores`` and ``masks``, probabilities (N, 1, H, W).
            space: where the names are looked up.
            names: of each label, ``weights.meta["categories"]``.
            mask_threshold: a pixel is in the mask above it.
        """
        from fuse.interop import instances

        return instances.from_torchvision(output, space, names, mask_threshold)

    @classmethod
    def from_detectron2(
        cls,
        output: Any,  # noqa: ANN401 - detectron2's Instances, or the dict that holds it
        space: LabelSpace,
        names: Names,
    ) -> Instances:
        """What an instance model of detectron2 answers for one image.

        Args:
            output: its ``Instances`` with ``pred_masks``, or the dict with ``instances``.
            space: where the names are looked up.
            names: of each class, ``metadata.thing_classes``.
        """
        from fuse.interop import instances

        return instances.from_detectron2(output, space, names)

    @classmethod
    def from_transformers(
        cls, output: Mapping[str, Any], space: LabelSpace, names: Names
    ) -> Instances:
        """What ``post_process_instance_segmentation`` of transformers gives for one image.

        Of ``post_process_panoptic_segmentation`` it is the things; stuff is left out.

        Args:
            output: with ``segmentation`` and ``segments_info``.
            space: where the names are looked up.
            names: of each label_id, ``model.config.id2label``.
        """
        from fuse.interop import instances

        return instances.from_transformers(output, space, names)

    @classmethod
    def from_supervision(
        cls,
        detections: Any,  # noqa: ANN401 - supervision's Detections
        space: LabelSpace,
        names: Names | None = None,
        *,
        size: tuple[int, int] | None = None,
    ) -> Instances:
        """``Detections`` of supervision with masks.

        Args:
            detections: of one image, with ``mask`` and ``confidence``.
            space: where the names are looked up.
            names: of each class_id; by default the names that come along in
                ``data["class_name"]``.
            size: (height, width) of the image, which detections without any do not tell.
        """
        from fuse.interop import instances

        return instances.from_supervision(detections, space, names, size)

    @classmethod
    def from_ultralytics(
        cls,
        result: Any,  # noqa: ANN401 - ultralytics' Results
        space: LabelSpace,
        names: Names | None = None,
    ) -> Instances:
        """``Results`` of an ultralytics segmentation model for one image.

        Masks at the size of the net's input lose its letterbox and are scaled to the image; with
        ``retina_masks=True`` they are taken as they are.

        Args:
            result: with ``boxes``, ``masks`` and ``orig_shape``.
            space: where the names are looked up.
            names: of each class; by default the result's own.
        """
        from fuse.interop import instances

        return instances.from_ultralytics(result, space, names)


class SemanticReaders:
    """Constructors of `SemanticPrediction`.

    All raise LabelSpaceError for a name that is not in the space, with the nearest ones, and
    TypeError or ValueError for what is no such answer.
    """

    __slots__ = ()

    @classmethod
    def from_logits(
        cls,
        logits: Any,  # noqa: ANN401 - an array or a tensor
        size: tuple[int, int],
        space: LabelSpace,
        names: Names,
    ) -> SemanticPrediction:
        """The best class of each pixel, by logits that cover the image edge to edge.

        They are upsampled as by ``interpolate(..., align_corners=False)``, after classes of one
        name had their probabilities added.

        Args:
            logits: float (C, h, w) or (1, C, h, w), at the net's own stride, before the softmax.
            size: (height, width) of the image.
            space: where the names are looked up.
            names: of each of the C classes; where one of name None is the best, the pixel is void.
        """
        from fuse.interop import semantic

        return semantic.from_logits(logits, size, space, names)

    @classmethod
    def from_label_map(
        cls,
        label_map: Any,  # noqa: ANN401 - an array or a tensor
        space: LabelSpace,
        names: Names | None = None,
    ) -> SemanticPrediction:
        """A map of classes.

        Args:
            label_map: int (H, W): class numbers of a net, or category ids where no names are given.
            space: where the names are looked up.
            names: of each class number in the map; None is void. Without them 0 is void, or -1
                where the space has a category 0.
        """
        from fuse.interop import semantic

        return semantic.from_label_map(label_map, space, names)

    @classmethod
    def from_transformers(
        cls,
        segmentation: Any,  # noqa: ANN401 - a tensor
        space: LabelSpace,
        names: Names,
    ) -> SemanticPrediction:
        """What ``post_process_semantic_segmentation`` of transformers gives for one image.

        Args:
            segmentation: int (H, W), class numbers.
            space: where the names are looked up.
            names: of each, ``model.config.id2label``.
        """
        from fuse.interop import semantic

        return semantic.from_label_map(segmentation, space, names)

    @classmethod
    def from_ultralytics(
        cls,
        result: Any,  # noqa: ANN401 - ultralytics' Results
        space: LabelSpace,
        names: Names | None = None,
    ) -> SemanticPrediction:
        """``Results`` of an ultralytics semantic model for one image.

        Args:
            result: with ``semantic_mask`` and ``orig_shape``.
            space: where the names are looked up.
            names: of each class; by default the result's own.
        """
        from fuse.interop import semantic

        return semantic.from_ultralytics(result, space, names)
