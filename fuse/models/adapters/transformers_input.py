"""How an image becomes the input of a net of transformers, and where it lies in that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.image_transforms import get_size_with_aspect_ratio

from fuse.errors import ConfigError, ModelError, describe_size
from fuse.types import NamedImage

NO_LIMIT = 2**24  # pixels of a long side; transformers wants a number


def choose_size(
    min_size: int | None, max_size: int | None, size: Sequence[int] | None
) -> dict[str, int] | None:
    """The size that a preset gives images, as a processor of transformers takes it.

    Args:
        min_size, max_size: the image's short side becomes min_size pixels unless its long side
            would exceed max_size.
        size: (height, width) that images are stretched to, in place of these two.

    Returns:
        None where nothing is given, and the checkpoint's own size counts.

    Raises:
        ConfigError: a size cannot be, or max_size stands alone.

    >>> choose_size(800, 1333, None)
    {'shortest_edge': 800, 'longest_edge': 1333}
    """
    if size is not None and len(size) != 2:
        raise ConfigError(f"size must be [height, width], got {list(size)}")
    if any(pixels is not None and pixels < 1 for pixels in (*(size or ()), min_size, max_size)):
        raise ConfigError("min_size, max_size and size must be at least 1 pixel")
    if size is not None:
        return {"height": size[0], "width": size[1]}
    if min_size is not None:
        return {"shortest_edge": min_size, "longest_edge": max_size or NO_LIMIT}
    if max_size is not None:
        raise ConfigError("max_size needs min_size beside it")
    return None


@dataclass(frozen=True, slots=True)
class InputView:
    """What one input of a net shows of an image.

    Attributes:
        resized: (height, width) of the whole image as it was resized.
        padded: (height, width) of the input.
        start: (y, x) of the input's first pixel in the resized image.
    """

    resized: tuple[int, int]
    padded: tuple[int, int]
    start: tuple[int, int] = (0, 0)


class ImagePreparation:
    """A processor of transformers, and the size that it gives images.

    Args:
        processor: as `transformers_files.read_processor` has it.
        size: in place of the processor's own, see `choose_size`.
        weights: for messages.

    Attributes:
        cuts_pieces: whether it cuts an image into overlapping squares along its long side.
    """

    def __init__(self, processor: Any, size: dict[str, int] | None, weights: str) -> None:  # noqa: ANN401
        self._processor = processor
        self._options = {} if size is None else {"size": size}
        self._weights = weights
        self.cuts_pieces = bool(getattr(processor, "do_split_image", False))

    def __call__(self, image: NamedImage) -> tuple[Tensor, list[InputView]]:
        """The inputs float32 (N, 3, h, w) that an image becomes, one unless it is cut.

        Raises:
            ModelError: it is so thin that no pixel of its short side would be left.
        """
        inputs = self._process(image)
        pixels: Tensor = inputs["pixel_values"]
        padded = (int(pixels.shape[2]), int(pixels.shape[3]))
        mask = inputs.get("pixel_mask")
        if self.cuts_pieces:
            resized = self._resize_to_edges(image)
            along = 0 if resized[0] > resized[1] else 1
            offsets = [int(start) for _, start, _ in inputs["patch_offsets"]]
            starts = [(offset, 0) if along == 0 else (0, offset) for offset in offsets]
            return pixels, [InputView(resized, padded, start) for start in starts]
        resized = padded
        if mask is not None:  # 1 on the image, 0 on the padding at its right and bottom
            resized = (int(mask[0, :, 0].sum()), int(mask[0, 0].sum()))
        elif getattr(self._processor, "do_pad", False):  # EoMT's pads there too, without a mask
            resized = self._resize_to_edges(image)
        return pixels, [InputView(resized, padded)]

    def _resize_to_edges(self, image: NamedImage) -> tuple[int, int]:
        """(height, width) that EoMT's processor resizes an image to, by its own function."""
        size = self._processor.size
        height, width = get_size_with_aspect_ratio(
            image.size, size["shortest_edge"], size.get("longest_edge")
        )
        return int(height), int(width)

    def _process(self, image: NamedImage) -> Any:  # noqa: ANN401 - tensors by name
        try:
            return self._processor(
                images=image.pixels,
                return_tensors="pt",
                input_data_format="channels_last",
                **self._options,
            )
        except (ValueError, RuntimeError) as err:  # processors check no size themselves
            raise ModelError(
                f"{self._weights}: its preprocessing takes no image of "
                f"{describe_size(image.size)} ({err})"
            ) from err


def describe_input(size: Any) -> str:  # noqa: ANN401 - a SizeDict, a dict or a number
    """The size of a processor in words.

    >>> describe_input({"height": 384, "width": 384})
    '384 x 384 pixels'
    >>> describe_input({"shortest_edge": 800, "longest_edge": 1333})
    'a short side of 800 pixels, a long one of 1333 at most'
    """
    sides = {"shortest_edge": size} if isinstance(size, int) else dict(size)
    if sides.get("height"):
        return f"{sides['height']} x {sides['width']} pixels"
    longest = sides.get("longest_edge")
    limit = f", a long one of {longest} at most" if longest and longest != NO_LIMIT else ""
    return f"a short side of {sides.get('shortest_edge')} pixels{limit}"
