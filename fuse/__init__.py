"""Panoptic segmentation by fusing two independent pretrained nets.

`Pipeline.load("tiny")` makes of an image a `PanopticResult`; `run` does a folder, `evaluate`
scores it, `PanopticQuality` is PQ in a training loop, and `api` has all that the commands do.

__init__.pyi says where each public name lives; it is loaded from there when it is first used, so
whoever scores files does not wait for torch.
"""

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Load what a public name stands for."""
    from fuse.threads import search_no_cycles

    with search_no_cycles():
        return _load(name)
