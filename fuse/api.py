"""All that the command line does, as functions; most commands call the one of their name.

api.pyi says where each name lives; it is loaded from there when it is first used, so a command
that runs no net does not wait for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("fuse", __file__)
