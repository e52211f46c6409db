"""An image as people hold it: a path, a URL, a picture of PIL, an array, a tensor."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image

from fuse.errors import ImageReadError
from fuse.io.images import read_image, stored_rgb, upright_rgb
from fuse.io.remote import is_url
from fuse.types import NamedImage, UInt8Array


class TensorLike(Protocol):
    """What a tensor of torch has; torch itself is not imported here."""

    def detach(self) -> Any:  # noqa: ANN401
        """Without its gradient."""

    def cpu(self) -> Any:  # noqa: ANN401
        """In the memory of the processor."""


ImageLike: TypeAlias = (
    "str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | TensorLike | NamedImage"
)

KINDS = "a path, a URL, a PIL image, a uint8 array (H, W, 3) in RGB or a torch tensor (3, H, W)"


def is_in_memory(given: object) -> bool:
    """Whether an image is there already, so that no file need be read."""
    return not isinstance(given, str | os.PathLike)


def is_image(given: object) -> TypeGuard[ImageLike]:
    """Whether something is meant as one image, right or wrong, and not as several."""
    kinds = (str, os.PathLike, bytes, Image.Image, np.ndarray, NamedImage)
    is_open_file = hasattr(given, "read")
    return isinstance(given, kinds) or _is_tensor(given) or is_open_file


def _is_tensor(given: object) -> TypeGuard[TensorLike]:
    return hasattr(given, "detach") and hasattr(given, "cpu")


def find_path(given: object) -> str | None:
    """The path or URL that an image came from, None where nobody knows."""
    if isinstance(given, str | os.PathLike):
        return os.fspath(given)
    if isinstance(given, NamedImage):
        return given.file_name or None
    return getattr(given, "filename", None) or None  # of PIL; "" where it was not opened


def to_image(given: ImageLike, *, as_stored: bool = False) -> NamedImage:
    """The pixels of an image of any usual kind.

    Args:
        given: path or URL of fsspec, as `fuse.io.images.read_image` reads it; a PIL image of any
            mode, turned upright by its EXIF orientation; a NumPy array (H, W, 3) or a tensor of
            torch (3, H, W), in RGB, either uint8 or floats in 0..1. An array in the order BGR, as
            cv2 reads it, cannot be told from one in RGB.
        as_stored: do not turn images by their EXIF orientation.

    Raises:
        ImageReadError: a file cannot be read.
        TypeError: it is something else, or of another dtype.
        ValueError: it has another shape, no pixels, or floats outside 0..1.

    >>> to_image(np.zeros((4, 6, 3), dtype=np.uint8)).size
    (4, 6)
    """
    if isinstance(given, NamedImage):
        return given
    if isinstance(given, str | os.PathLike):
        return _read_path(os.fspath(given), as_stored=as_stored)
    if isinstance(given, Image.Image):
        return NamedImage(_read_pil(given, as_stored=as_stored))
    if isinstance(given, np.ndarray):
        return NamedImage(_read_array(given))
    if _is_tensor(given):
        return NamedImage(_read_tensor(given))
    raise TypeError(f"an image is {KINDS}, got {type(given).__name__}{_mend_object(given)}")


def copy_in_memory(given: ImageLike) -> ImageLike:
    """An array or tensor of one's own, as its maker may fill the same one again."""
    if isinstance(given, np.ndarray):
        return given.copy()
    clone = getattr(given, "clone", None)
    copied: ImageLike = clone() if clone else given
    return copied


def _mend_object(given: object) -> str:
    """The call that makes an image of what is none."""
    if isinstance(given, bytes):
        return "; give PIL.Image.open(io.BytesIO(content))"
    if hasattr(given, "read"):
        return "; of an open file give PIL.Image.open(file)"
    if isinstance(given, list | tuple):
        return "; give each by itself: (image for batch in batches for image in batch)"
    return ""


def _read_path(path: str, *, as_stored: bool) -> NamedImage:
    try:
        pixels = read_image(path, as_stored=as_stored)
    except ImageReadError as err:
        folder, pattern = (path, "*.jpg") if Path(path).is_dir() else os.path.split(path)
        if "*" not in pattern or is_url(path):
            raise
        mend = f"pipeline(sorted(Path({folder or '.'!r}).glob({pattern!r})))"
        raise ImageReadError(f"{err}; for all of its images give {mend}") from err
    return NamedImage(pixels, PurePosixPath(path.replace("\\", "/")).name)


def _read_pil(image: Image.Image, *, as_stored: bool) -> UInt8Array:
    try:
        return stored_rgb(image) if as_stored else upright_rgb(image)
    except Exception as err:  # decoders raise almost anything on damaged files
        raise ImageReadError(f"{find_path(image) or 'PIL image'}: cannot be read ({err})") from err


def _read_array(array: npt.NDArray[Any]) -> UInt8Array:
    shape = array.shape
    if array.ndim != 3 or shape[2] != 3 or array.size == 0:
        raise ValueError(
            f"an array must be an image (H, W, 3) in RGB, got shape {shape}{_mend_array(shape)}"
        )
    return np.ascontiguousarray(_to_bytes(array, "image.astype(np.uint8)"))


def _mend_array(shape: tuple[int, ...]) -> str:
    """The call that makes an image of an array of another shape."""
    if len(shape) == 3 and shape[0] == 3:
        return "; the channels come last: image.transpose(1, 2, 0)"
    if len(shape) == 3 and shape[2] == 4:
        return "; without transparency it is image[..., :3]"
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        return "; a grey one is np.dstack([image] * 3)"
    return "; a batch is given as a list: list(images)" if len(shape) == 4 else ""


def _read_tensor(tensor: TensorLike) -> UInt8Array:
    host = tensor.detach().cpu()
    array = (host.float() if host.is_floating_point() else host).numpy()
    shape = tuple(array.shape)
    if len(shape) != 3 or shape[0] != 3 or array.size == 0:
        raise ValueError(
            f"a tensor must be an image (3, H, W) in RGB, got shape {shape}{_mend_tensor(shape)}"
        )
    return np.ascontiguousarray(_to_bytes(array, "image.to(torch.uint8)").transpose(1, 2, 0))


def _mend_tensor(shape: tuple[int, ...]) -> str:
    """The call that makes an image of a tensor of another shape."""
    if len(shape) == 3 and shape[2] == 3:
        return "; the channels come first: image.permute(2, 0, 1)"
    if len(shape) == 3 and shape[0] == 4:
        return "; without transparency it is image[:3]"
    if len(shape) == 2 or (len(shape) == 3 and shape[0] == 1):
        return "; a grey one is image.expand(3, -1, -1)"
    return "; a batch is given as a list: list(images)" if len(shape) == 4 else ""


def _to_bytes(values: npt.NDArray[Any], cast: str) -> UInt8Array:
    """Values as uint8, where floats of 0..1 stand for 0..255; the cast mends values up to 255."""
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise TypeError(
            f"an image must be uint8, or floats in 0..1, got {values.dtype}; give "
            f"{_mend_dtype(values, cast)}"
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # a NaN fails both comparisons
        mend = f"give {cast}" if low >= 0 and 1 < high <= 255 else "undo its normalisation"
        raise ValueError(f"an image of floats must lie in 0..1, got {low:g}..{high:g}; {mend}")
    pixels: UInt8Array = np.rint(values * 255).astype(np.uint8)
    return pixels


def _mend_dtype(values: npt.NDArray[Any], cast: str) -> str:
    """The call that makes uint8 of bools and other whole numbers."""
    if values.dtype == np.bool_:
        return f"{cast} * 255"
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 255:
        return cast
    if values.dtype == np.uint16:
        return cast.replace("image", "(image >> 8)")
    return f"values of 0..255 as {cast}"


__all__ = ["ImageLike", "TensorLike", "copy_in_memory", "find_path", "is_in_memory", "to_image"]
