"""Panoptic FPN, one net for things and stuff: the baseline that a pair of nets must beat.

Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019, as detectron2 builds it and with
the checkpoints that detectron2 publishes, without detectron2.

    checkpoint.py   a published or own checkpoint -> tensors by our names
    designs.py      what one net has otherwise than another: encoder, widths, sizes
    net.py          the layers
    boxes.py        anchors, proposals, detections, pooling of regions
    images.py       image -> input of the net, answer of the net -> pixels of the image
    shared_net.py   a net on a device, for one branch or both
    adapters.py     the semantic and the instance model
"""
