"""What a net costs: parameters, operations, activations, memory, counted on an image by torch."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.autograd.profiler import profile as record_events
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from fuse.errors import ModelError
from fuse.models.registry import find_factory
from fuse.models.weights.layouts import find_layout, write_random
from fuse.models.weights.sources import NeededWeights

MEMORY_EVENT = "[memory]"
SILENT = "99"


def count_flops(call: Callable[[], object]) -> int:
    """Floating-point operations of a call, as ``torch.utils.flop_counter`` counts them.

    That is two for each multiplication and addition of convolutions, matrix products and
    attention; 0 where another runtime than torch does the work.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def count_activations(call: Callable[[], object]) -> int:
    """Numbers that the convolutions and matrix products of a call put out.

    That is how papers count the memory of a net without regard to its code (Panoptic FPN, figure
    5; Radosavovic et al., Designing Network Design Spaces, 2020, section 3.3); 0 where another
    runtime than torch does the work.
    """
    counts: dict[Any, Any] = dict.fromkeys(flop_registry, _count_output)
    with FlopCounterMode(display=False, custom_mapping=counts) as counter:
        call()
    return int(counter.get_total_flops())


def _count_output(*_shapes: object, out_shape: Any, **_options: object) -> int:  # noqa: ANN401
    """Numbers of a shape, or of the first of several: attention also puts out what it kept."""
    is_one = all(isinstance(side, int) for side in out_shape)
    return prod(out_shape if is_one else out_shape[0])


def measure_memory(call: Callable[[], object], device: str) -> int:
    """Most bytes that tensors held at a time during a call, beyond those before it.

    On a CPU that is what torch's allocator handed out and took back, on CUDA the peak that its
    allocator reports.

    Args:
        call: runs a net.
        device: where it runs.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", SILENT)  # else its C++ writes to stderr
    with record_events(use_kineto=False, profile_memory=True) as recorded:
        call()
    results: Any = recorded.kineto_results
    events = [event for event in results.events() if event.name() == MEMORY_EVENT]
    steps = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(steps), default=0)


def count_parameters(models: Iterable[object]) -> int | None:
    """Numbers in the parameters of models, shared ones once; None where a model has no net.

    That is an attribute ``net``, a module of torch.
    """
    nets: list[Any] = [getattr(model, "net", None) for model in models]
    if not all(isinstance(net, nn.Module) for net in nets):
        return None
    return sum(parameter.numel() for parameter in nn.ModuleList(nets).parameters())


def write_random_weights(
    kind: str, name: str, options: Mapping[str, Any], needed: NeededWeights, folder: Path
) -> Path:
    """A file or folder in the layout of published weights, of random numbers, always the same.

    For repositories of the hub the layout is known or not (`fuse.models.weights.layouts`); for
    others a model's module makes it in a function ``make_random_state(options)``.

    Args:
        kind: ``semantic`` or ``instance``.
        name: of the model.
        options: as in a preset.
        needed: what the file stands in for.
        folder: where to put it.

    Raises:
        ModelError: the net's layout is not known without its files.
    """
    layout = find_layout(needed.source) if needed.revision is not None else None
    if layout is not None:
        return write_random(layout, folder / layout.repository.replace("/", "--"))
    make_state = getattr(inspect.getmodule(find_factory(kind, name)), "make_random_state", None)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = make_state(options) if make_state else None
    if state is None:
        raise ModelError(
            f"{kind} model {name!r}: {needed.source} says itself what its net is like, so there "
            "are no random weights for it; fetch it"
        )
    path = folder / needed.path.with_suffix(".pth").name
    torch.save(state, path)
    return path
