"""Tiny random nets of transformers with their preprocessing, as checkpoints hold them."""

import numpy as np
from transformers import (
    CLIPTokenizer,
    ConvNextConfig,
    DetrConfig,
    EomtConfig,
    EomtForUniversalSegmentation,
    EomtImageProcessor,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    MaskFormerImageProcessor,
    OneFormerConfig,
    OneFormerForUniversalSegmentation,
    OneFormerImageProcessor,
    OneFormerProcessor,
    RfDetrConfig,
    RfDetrDinov2Config,
    RfDetrForInstanceSegmentation,
    RfDetrImageProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
    SwinConfig,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

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


def make_segformer():
    config = SegformerConfig(
        hidden_sizes=[8, 16, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=16,
        num_labels=5,
    )
    net = SegformerForSemanticSegmentation(config).eval()
    size = {"shortest_edge": 64, "longest_edge": 160}
    return net, Mask2FormerImageProcessor(size=size, size_divisor=32)


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


def make_mask2former():
    """A small Mask2Former; its preprocessing is the test's."""
    config = Mask2FormerConfig(
        backbone_config=make_swin(),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=16,
        num_queries=10,
        num_labels=5,
    )
    return Mask2FormerForUniversalSegmentation(config).eval()


def make_eomt(side=64, **options):
    config = EomtConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=side,
        patch_size=16,
        num_labels=5,
        num_queries=10,
        num_blocks=2,
        num_upscale_blocks=1,
    )
    net = EomtForUniversalSegmentation(config)
    net.class_predictor.weight.data *= 200
    size = {"shortest_edge": side, "longest_edge": side}
    return net, EomtImageProcessor(size=size, **{"do_pad": True} | options)


def save(folder, net, processor):
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def make_split_eomt():
    """A semantic EoMT as published for ADE20K: squares cut from the image along its long side."""
    net, _ = make_eomt(side=128)
    net.query.weight.data.normal_(std=3)  # so that queries differ and masks are sure
    net.mask_head.fc3.weight.data *= 4
    size = {"shortest_edge": 128, "longest_edge": None}
    return net, EomtImageProcessor(size=size, do_split_image=True, do_pad=False)


def make_oneformer():
    config = OneFormerConfig(
        backbone_config=make_swin(),
        num_queries=10,
        hidden_dim=32,
        mask_dim=32,
        conv_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=16,
        query_dec_layers=1,
        text_encoder_width=16,
        text_encoder_num_layers=1,
        text_encoder_vocab_size=600,
        num_labels=5,
    )
    net = OneFormerForUniversalSegmentation(config)
    net.model.transformer_module.decoder.class_embed.weight.data *= 20
    size = {"shortest_edge": 64, "longest_edge": 128}
    processor = OneFormerProcessor(
        OneFormerImageProcessor(size=size, num_labels=5), make_clip_tokenizer()
    )
    return net, processor


def make_clip_tokenizer():
    """CLIP's tokenizer with a vocabulary of single bytes."""
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[])


def make_rf_detr():
    config = RfDetrConfig(
        backbone_config=RfDetrDinov2Config(
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            image_size=96,
            patch_size=12,
            num_windows=2,
            out_features=["stage2", "stage4"],
        ),
        d_model=32,
        decoder_layers=2,
        decoder_ffn_dim=16,
        decoder_n_points=2,
        decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2,
        num_queries=20,
        group_detr=2,
        num_labels=91,
    )
    net = RfDetrForInstanceSegmentation(config)
    net.model.class_embed.weight.data *= 30
    return net, RfDetrImageProcessor(size={"height": 96, "width": 96}, do_pad=False)
