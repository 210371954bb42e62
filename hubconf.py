"""Entry points for torch.hub, one a recipe: torch.hub.load(FOLDER, "x3d_s", source="local").

`pretrained=True` fetches the published weights of Kinetics-400 (`slowfast zoo`), `num_classes`
gives a classifier for other classes. A network takes a list of clips N,C,T,H,W, one for each
pathway, and gives logits in training, scores in evaluation.
"""

dependencies = ["av", "fvcore", "numpy", "simplejson", "torch", "torchvision", "yacs"]

# Entry point -> recipe, and published weights.
_RECIPES = {
    "c2d_8x8_r50": ("Kinetics/c2d/C2D_8x8_R50", "C2D_8x8_R50"),
    "i3d_8x8_r50": ("Kinetics/c2/I3D_8x8_R50", "I3D_8x8_R50"),
    "ir_csn_101_32x2": ("Kinetics/csn/CSN_32x2_R101", "CSN_32x2_R101"),
    "mvit_b_16x4": ("Kinetics/mvit/MVIT_B_16x4_CONV", "MVIT_B_16x4_CONV-torchvision"),
    "mvit_v2_s_16x4": ("Kinetics/mvit/MVITv2_S_16x4", "MVITv2_S_16x4"),
    "r2plus1d_18": ("Kinetics/r2plus1d/R2PLUS1D_18_16x2", "R2PLUS1D_18_16x2"),
    "s3d": ("Kinetics/s3d/S3D", "S3D"),
    "slow_8x8_r50": ("Kinetics/c2/SLOW_8x8_R50", "SLOW_8x8_R50"),
    "slowfast_4x16_r50": ("Kinetics/c2/SLOWFAST_4x16_R50", "SLOWFAST_4x16_R50"),
    "slowfast_8x8_r50": ("Kinetics/c2/SLOWFAST_8x8_R50", "SLOWFAST_8x8_R50"),
    "tsm_r50_8f": ("Kinetics/tsm/TSM_R50_8f", "TSM_R50_8f"),
    "vov3d_l": ("Kinetics/vov3d/vov3d_L", "vov3d_L"),
    "vov3d_m": ("Kinetics/vov3d/vov3d_M", "vov3d_M"),
    "x3d_l": ("Kinetics/x3d/X3D_L", "X3D_L"),
    "x3d_m": ("Kinetics/x3d/X3D_M", "X3D_M"),
    "x3d_s": ("Kinetics/x3d/X3D_S", "X3D_S"),
    "x3d_xs": ("Kinetics/x3d/X3D_XS", "X3D_XS"),
}


def _entry(recipe, weights):
    def make(pretrained=False, *, num_classes=None):
        from slowfast.checkpoint.initialize import initialize_from, load_for_test
        from slowfast.config.cli import load_cfg
        from slowfast.engine.predict import load_predicted
        from slowfast.models import build_model

        options = [] if num_classes is None else ["MODEL.NUM_CLASSES", num_classes]
        if not pretrained:
            return build_model(load_cfg(recipe, options))
        model = build_model(load_predicted(None, f"zoo:{weights}", options))
        fill = load_for_test if num_classes is None else initialize_from
        fill(model, f"zoo:{weights}")
        return model

    make.__doc__ = f"The network of {recipe}; pretrained: with the published weights {weights}."
    return make


globals().update({name: _entry(*row) for name, row in _RECIPES.items()})
