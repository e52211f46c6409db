"""Tiny random nets of transformers with their preprocessing, as checkpoints hold them."""

import numpy as np
from transformers import (
    ConvNextConfig,
    DetrConfig,
    EomtConfig,
    EomtForUniversalSegmentation,
    EomtImageProcessor,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    MaskFormerImageProcessor,
    SegformerImageProcessor,
    SwinConfig,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

from fuse.types import NamedImage

STAGES = ["stage1", "stage2", "stage3", "stage4"]


def make_swin():
    return SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=STAGES,
    )


def make_image(height=50, width=70, seed=0):
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return NamedImage(np.ascontiguousarray(patches.repeat(16, 0).repeat(16, 1)[:height, :width]))


def make_upernet():
    backbone = ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], out_features=STAGES)
    config = UperNetConfig(
        backbone_config=backbone, hidden_size=16, use_auxiliary_head=False, num_labels=5
    )
    net = UperNetForSemanticSegmentation(config)
    net.decode_head.classifier.weight.data *= 20
    return net, SegformerImageProcessor(size={"height": 64, "width": 96})


def make_maskformer():
    detr = DetrConfig(
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=10,
    )
    config = MaskFormerConfig(
        backbone_config=make_swin(),
        decoder_config=detr,
        fpn_feature_size=32,
        mask_feature_size=32,
        num_labels=5,
    )
    net = MaskFormerForInstanceSegmentation(config)
    net.class_predictor.weight.data *= 20
    size = {"shortest_edge": 64, "longest_edge": 128}
    return net, MaskFormerImageProcessor(size=size, size_divisor=32)


def make_eomt(**options):
    config = EomtConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        num_labels=5,
        num_queries=10,
        num_blocks=2,
        num_upscale_blocks=1,
    )
    net = EomtForUniversalSegmentation(config)
    net.class_predictor.weight.data *= 200
    size = {"shortest_edge": 64, "longest_edge": 64}
    return net, EomtImageProcessor(size=size, **{"do_pad": True} | options)


def save(folder, net, processor):
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)
