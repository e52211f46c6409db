"""Nets of other libraries, and predictions of other tools, as models: a module per kind.

Options that several kinds have mean the same in all of them:

    device                   ``cpu``, ``cuda:0``, ...
    weights                  shipped weights by name, a name that the library publishes, a file,
                             a folder that ``save_pretrained`` made, or ``owner/name`` on the hub
    revision                 branch, tag or commit on the hub; by default ``main``
    label_space, class_ids   what the net's classes are, see `fuse.labels.resolve_classes`
    mean, std, size, ...     how the net wants its images, see `semantic_net.ImageInput`
    align_corners            see `semantic_net.SemanticNet`
    activation               see `semantic_net.ACTIVATIONS`
    precision                see `fuse.models.runtime.autocast`
    runtime                  what runs the dense parts, see `fuse.models.dense.plan_dense`

They raise ModelError where the weights are not there or do not fit, and ConfigError where an
option is missing or wrong. A module may make a net's random weights for `fuse.models.cost`, in
``make_random_state(options)``.
"""
