import pytest

from slowfast.config.checks import check_cfg
from slowfast.config.defaults import get_cfg

FLOW = ["DATA.MODALITY", "flow", "DATA.INPUT_CHANNEL_NUM", [2]]
FLOW += ["DATA.MEAN", [0.5, 0.5], "DATA.STD", [0.1, 0.1]]


def make_cfg(*overrides):
    """A config that passes, with overrides."""
    cfg = get_cfg()
    cfg.merge_from_list(["DATA.INPUT_CHANNEL_NUM", [3], *overrides])
    return cfg


def mistakes(*overrides) -> str:
    with pytest.raises(ValueError) as caught:
        check_cfg(make_cfg(*overrides))
    return str(caught.value)


def test_defaults_pass():
    check_cfg(get_cfg())


@pytest.mark.parametrize("channels", [[2], [2, 2]])
def test_flow_passes_with_its_channels(channels):
    erasing = ["AUG.ENABLE", True, "AUG.AA_TYPE", "", "AUG.COLOR_JITTER", 0]
    check_cfg(make_cfg(*FLOW, "DATA.INPUT_CHANNEL_NUM", channels, *erasing))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "key", ["SOLVER.BASE_LR", "X3D.SE_RATIO", "MULTIGRID.EPOCH_FACTOR", "SOLVER.CLIP_GRAD_VAL"]
)
def test_number_that_is_none_is_named_by_its_key(key, value):
    assert mistakes(key, value).startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SOLVER.STEPS", [0, float("nan")]),
        ("SOLVER.BETAS", (0.9, float("inf"))),
        ("MULTIGRID.LONG_CYCLE_FACTORS", [[1, float("inf")]]),
        ("VOV3D.INNER_MULTIPLIER", [float("nan")] * 4),
        ("USER.MY.LIST", [[float("nan")]]),
        ("RNG_SEED", 10**19),
    ],
)
def test_number_that_is_none_is_found_in_lists_and_open_sections(key, value):
    message = mistakes(key, value)
    assert message.startswith(f"{key}: ") and "must be finite numbers of at most 64" in message


@pytest.mark.parametrize("options", [["TRAIN.EVAL_PERIOD", 20], ["TRAIN.PATIENCE", 20]])
def test_patience_that_never_ends_a_run_is_refused(options):
    options = ["TRAIN.PATIENCE", 5, "SOLVER.MAX_EPOCH", 20, *options]
    assert "TRAIN.PATIENCE: " in (message := mistakes(*options)) and "has no effect" in message


def test_mistake_about_a_long_list_is_cut():
    assert len(mistakes("DATA.MEAN", [0.5] * 10_000)) < 700


def test_all_mistakes_come_at_once():
    assert len(mistakes("LOG_PERIOD", 0, "MODEL.NUM_CLASSES", 0).splitlines()) == 2


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["NUM_GPUS", 3], "TRAIN.BATCH_SIZE: 64 must be a multiple of 3"),
        (["NUM_GPUS", 4, "TEST.BATCH_SIZE", 6], "TEST.BATCH_SIZE: 6 must be a multiple of 4"),
        (
            ["BN.NORM_TYPE", "sub_batchnorm", "BN.NUM_SPLITS", 3, "NUM_GPUS", 8],
            "BN.NUM_SPLITS: 3 must divide the 8 clips of a process",
        ),
        (
            ["BN.NORM_TYPE", "sync_batchnorm", "BN.NUM_SYNC_DEVICES", 3, "NUM_GPUS", 8],
            "BN.NUM_SYNC_DEVICES: 3 must be at least 2 and divide the 8 processes",
        ),
        (["SHARD_ID", 2, "NUM_SHARDS", 2], "SHARD_ID: 2 must be below NUM_SHARDS 2"),
        (
            ["DATA.INPUT_CHANNEL_NUM", [3, 3], "DATA.NUM_FRAMES", 12],
            "DATA.NUM_FRAMES: 12 must be a multiple of SLOWFAST.ALPHA 8",
        ),
        (["DATA.INPUT_CHANNEL_NUM", [1]], "DATA.INPUT_CHANNEL_NUM: [1] must be [3]"),
        (["DATA.MEAN", [0.5]], "DATA.MEAN: [0.5] must hold 3 numbers"),
        (["DATA.MEAN", [110.0, 99.0, 98.0]], "DATA.MEAN: [110.0, 99.0, 98.0] must be of values in"),
        (["DATA.TRAIN_PCA_EIGVAL", [1e9] * 3], "DATA.TRAIN_PCA_EIGVAL: "),
        (["DATA.TRAIN_JITTER_SCALES", [256, 10**9]], "DATA.TRAIN_JITTER_SCALES: "),
        (
            ["TEST.BATCH_SIZE", 10**10],
            "TEST.BATCH_SIZE: 10000000000 must be at least 1",
        ),
        (["OUTPUT_DIR", "a\0b"], "OUTPUT_DIR: 'a\\x00b' holds a zero byte"),
        (["TRAIN.FREEZE", ["s\0"]], "TRAIN.FREEZE: ['s\\x00'] holds a zero byte"),
        (["AVA.TRAIN_LISTS", [None]], "AVA.TRAIN_LISTS: [None] must be names of files"),
        (["MODEL.ARCH", "../../../x"], "MODEL.ARCH: '../../../x' must be a name of letters"),
        (["MODEL.FC_INIT_STD", 1e30], "MODEL.FC_INIT_STD: 1e+30 must be at least 0 and at most"),
        (["DATA.STD", [0.2, 0.2, 0]], "DATA.STD: [0.2, 0.2, 0] must be above 0"),
        (["DATA.TRAIN_CROP_SIZE", 16], "DATA.TRAIN_CROP_SIZE: 16 must be at least 32"),
        (["DATA.TEST_CROP_SIZE", 31], "DATA.TEST_CROP_SIZE: 31 must be at least 32"),
        (
            ["DATA.SAMPLING", "segments", "DATA.USE_OFFSET_SAMPLING", True],
            "DATA.USE_OFFSET_SAMPLING: True must be False with DATA.SAMPLING 'segments'",
        ),
        (["TEST.WHOLE_VIDEO", 250], "TEST.NUM_ENSEMBLE_VIEWS: 10 must be 1 with TEST.WHOLE_VIDEO"),
        (
            ["TEST.WHOLE_VIDEO", 250, "TEST.NUM_ENSEMBLE_VIEWS", 1, "DATA.SAMPLED_FRAMES", 64],
            "DATA.SAMPLED_FRAMES: 64 must be 0 with TEST.WHOLE_VIDEO 250",
        ),
        (
            ["TEST.WHOLE_VIDEO", 250, "DATA.INPUT_CHANNEL_NUM", [3, 3], "SLOWFAST.ALPHA", 4],
            "TEST.WHOLE_VIDEO: 250 must be a multiple of SLOWFAST.ALPHA 4",
        ),
        (
            ["DATA.KEEP_ASPECT", False],
            "TEST.NUM_SPATIAL_CROPS: 3 must be 1 with DATA.KEEP_ASPECT False, or TEST.SHORT_SIDE",
        ),
        (
            ["DATA.KEEP_ASPECT", False, "DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.1, 1.0]]
            + ["DATA.TRAIN_JITTER_ASPECT_RELATIVE", [0.75, 1.3]],
            "DATA.TRAIN_JITTER_SCALES_RELATIVE: [0.1, 1.0] must be [] with DATA.KEEP_ASPECT False",
        ),
        (["DETECTION.TEST_VIEW", "center"], "DETECTION.TEST_VIEW: 'center' needs DETECTION.EN"),
        (["DATA.SAMPLING_RATE", 0.5], "DATA.SAMPLING_RATE: 0.5 must be at least 1"),
        (["TEST.SHORT_SIDE", -1], "TEST.SHORT_SIDE: -1 must be at least 0"),
        (["TEST.SHORT_SIDE", 255], "TEST.SHORT_SIDE: 255 must be 0, or at least DATA.TEST_CROP_"),
        (["DATA.TRAIN_JITTER_SCALES", [200, 320]], "from DATA.TRAIN_CROP_SIZE 224 up"),
        (["DATA.TRAIN_JITTER_SCALES", [320, 256]], "must be [smallest, largest] short side"),
        (["DATA.TRAIN_JITTER_SCALES", [256]], "must be [smallest, largest] short side"),
        (
            ["DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.1, 1.5]],
            "DATA.TRAIN_JITTER_SCALES_RELATIVE: [0.1, 1.5]",
        ),
        (
            ["DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.1, 1.0]],
            "DATA.TRAIN_JITTER_ASPECT_RELATIVE: []",
        ),
        (["DATA.TRAIN_CROP_SCALES", [1, 2]], "DATA.TRAIN_CROP_SCALES: [1, 2] must be shares"),
        (
            ["DATA.TRAIN_CROP_SCALES", [1], "DATA.KEEP_ASPECT", False],
            "DATA.TRAIN_CROP_SCALES: [1] must be [] with DATA.KEEP_ASPECT False",
        ),
        (["SOLVER.MAX_EPOCH", 2, "SOLVER.WARMUP_EPOCHS", 3], "must be at most SOLVER.MAX_EPOCH 2"),
        (["SOLVER.BETAS", [0.9, 1.0]], "SOLVER.BETAS: [0.9, 1.0]"),
        (["SOLVER.CLIP_GRAD_VAL", 0], "SOLVER.CLIP_GRAD_VAL: 0.0 must be above 0"),
        (["MIXUP.ENABLE", True, "MIXUP.ALPHA", 0, "MIXUP.CUTMIX_ALPHA", 0], "MIXUP.ALPHA"),
        (["OUTPUT_DIR", ""], "OUTPUT_DIR: must not be empty"),
        (["TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN", ["("]], "'(' is not a regular expression"),
        (
            ["DATA.LABEL_AWARE_FLIP", True, "DATA.RANDOM_FLIP", False],
            "DATA.LABEL_AWARE_FLIP: True needs DATA.RANDOM_FLIP True",
        ),
        (["DATA.FLIP_LABELS_FILE", "x.json"], "'x.json' needs DATA.LABEL_AWARE_FLIP True"),
        (["DATA.MODALITY", "flow"], "DATA.INPUT_CHANNEL_NUM: [3] must be [2]"),
        (["DATA.INPUT_CHANNEL_NUM", [2]], "DATA.INPUT_CHANNEL_NUM: [2] must be [3]"),
        ([*FLOW, "DATA.MEAN", [0.5] * 3], "DATA.MEAN: [0.5, 0.5, 0.5] must hold 2 numbers"),
        ([*FLOW, "TEST.REVERSE_TIME", True], "TEST.REVERSE_TIME: True must be False"),
        (
            [*FLOW, "DATA.SOURCE", "videos", "TEST.DATASET", "ssv2"],
            "'videos' has no effect with DATA",
        ),
        ([*FLOW, "DATA.INDEX_FILE", "i.bin"], "DATA.INDEX_FILE: 'i.bin' has no effect with DATA.M"),
        ([*FLOW, "DATA.REVERSE_INPUT_CHANNEL", True], "DATA.REVERSE_INPUT_CHANNEL: True must"),
        ([*FLOW, "AUG.ENABLE", True], "AUG.AA_TYPE: 'rand-m9-mstd0.5-inc1' must be ''"),
        ([*FLOW, "AUG.ENABLE", True, "AUG.AA_TYPE", ""], "AUG.COLOR_JITTER: 0.4 must be 0"),
        (["AUG.INTERPOLATION", "area"], "AUG.INTERPOLATION: 'area' is not one of"),
        (["AUG.RE_MODE", "black"], "AUG.RE_MODE: 'black' is not one of"),
        (["AUG.RE_PROB", 1.5], "AUG.RE_PROB: 1.5 must lie within 0..1"),
        (["AUG.RE_COUNT", 0], "AUG.RE_COUNT: 0 must be at least 1"),
        (["MVIT.PATCH_STRIDE", [4, 4]], "MVIT.PATCH_STRIDE: [4, 4] must be three whole numbers"),
        (["MVIT.POOL_Q_STRIDE", [[16, 1, 2, 2]]], "MVIT.POOL_Q_STRIDE: [16, 1, 2, 2] must be [blo"),
        (["MVIT.DIM_MUL", [[1, 0.0]]], "MVIT.DIM_MUL: [1, 0.0] must be [block, factor]"),
        (["MVIT.MODE", "conv_unshared"], "MVIT.MODE: 'conv_unshared' needs MVIT.POOL_FIRST True"),
        (["MVIT.USE_FIXED_SINCOS_POS", True, "MVIT.SEP_POS_EMBED", True], "MVIT.USE_FIXED_SINCOS"),
        (["MVIT.REV.ENABLE", True], "MVIT.REV.ENABLE: True must be False: reversible MViT is not"),
        (["MVIT.PATCH_2D", True], "MVIT.PATCH_2D: True must be False: it is for images"),
        (
            ["AUG.NUM_SAMPLE", 2, "DATA.LABEL_AWARE_FLIP", True],
            "AUG.NUM_SAMPLE: 2 must be 1 with DATA.LABEL_AWARE_FLIP True",
        ),
    ],
)
def test_keys_that_do_not_fit_each_other(overrides, expected):
    assert expected in mistakes(*overrides)


S3D = ["MODEL.MODEL_NAME", "S3D"]
GENERAL = ["S3D.VARIANT", ""]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["S3D.POSITION", 3], "S3D.POSITION: 3 has no effect beside S3D.VARIANT 's3d'"),
        (["S3D.SEPARABLE", False], "S3D.SEPARABLE: False has no effect beside S3D.VARIANT 's3d'"),
        (["S3D.VARIANT", "i3d", "S3D.GATING", True], "S3D.GATING: True has no effect beside"),
        (["S3D.TEMPORAL_END", "bottom"], "S3D.TEMPORAL_END: 'bottom' has no effect beside"),
        ([*GENERAL, "S3D.POSITION", 11], "S3D.POSITION: 11 must be at most 10"),
        (["S3D.WIDTH_FACTOR", 0], "S3D.WIDTH_FACTOR: 0.0 must be above 0"),
        (["S3D.VARIANT", "i2d", "S3D.ALL_BRANCHES", True], "S3D.ALL_BRANCHES: True has no effect"),
        (
            [*GENERAL, "S3D.TEMPORAL_END", "bottom", "S3D.POSITION", 1, "S3D.ALL_BRANCHES", True],
            "S3D.ALL_BRANCHES: True has no effect",
        ),
        (["S3D.VARIANT", "i2d", "S3D.STEM_KERNEL_T", 3], "S3D.STEM_KERNEL_T: 3 has no effect"),
        (["S3D.STEM", "2d", "S3D.STEM_KERNEL_T", 5], "S3D.STEM_KERNEL_T: 5 has no effect"),
        (
            [*GENERAL, "S3D.POSITION", 1, "S3D.STEM_KERNEL_T", 3],
            "S3D.STEM_KERNEL_T: 3 has no effect on a 2D stem",
        ),
        (
            [*GENERAL, "S3D.TEMPORAL_END", "bottom", "S3D.STEM", "2d"],
            "S3D.STEM: '2d' contradicts S3D.POSITION 0",
        ),
    ],
)
def test_key_of_s3d_that_another_one_makes_void_is_refused(overrides, expected):
    assert mistakes(*S3D, *overrides).startswith(expected)
    assert len(mistakes(*S3D, *overrides).splitlines()) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        [*GENERAL, "S3D.POSITION", 4, "S3D.SEPARABLE", False, "S3D.GATING", True],
        [*GENERAL, "S3D.TEMPORAL_END", "bottom", "S3D.STEM_KERNEL_T", 3],
        ["S3D.VARIANT", "fast-s3d", "S3D.STEM", "3d", "S3D.STEM_KERNEL_T", 3],
        ["S3D.VARIANT", "s3d-g", "S3D.ALL_BRANCHES", True, "S3D.WIDTH_FACTOR", 0.25],
    ],
)
def test_keys_of_s3d_that_work_together_pass(overrides):
    check_cfg(make_cfg(*S3D, *overrides))


def test_keys_of_s3d_do_not_matter_to_other_models():
    check_cfg(make_cfg("MODEL.MODEL_NAME", "X3D", "S3D.POSITION", 11))


@pytest.mark.parametrize(
    ("steps", "factors", "expected"),
    [
        ([], [1], "SOLVER.STEPS: [] must be increasing epochs that start with 0"),
        ([5, 10], [1, 0.1], "SOLVER.STEPS: [5, 10]"),
        ([0, 10, 10], [1, 0.1, 0.01], "SOLVER.STEPS: [0, 10, 10]"),
        ([0, 10, 5], [1, 0.1, 0.01], "SOLVER.STEPS: [0, 10, 5]"),
        ([0, "ten"], [1, 0.1], "SOLVER.STEPS: [0, 'ten']"),
        ([0, 10], [1], "SOLVER.LRS: [1] must hold a number for each of the 2"),
    ],
)
def test_steps_and_rates_must_fit(steps, factors, expected):
    policy = ["SOLVER.LR_POLICY", "steps_with_relative_lrs"]
    assert expected in mistakes(*policy, "SOLVER.STEPS", steps, "SOLVER.LRS", factors)


X3D = ["MODEL.MODEL_NAME", "X3D", "RESNET.TRANS_FUNC", "x3d_transform", "X3D.BN_LIN5", True]
TWO_PARTS = ["BN.NORM_TYPE", "sub_batchnorm", "BN.NUM_SPLITS", 2]


@pytest.mark.parametrize(
    "overrides",
    [["TRAIN.BATCH_SIZE", 1], ["TRAIN.BATCH_SIZE", 2, *TWO_PARTS]]
    + [["TRAIN.BATCH_SIZE", 8, "TEST.BATCH_SIZE", 8, "NUM_GPUS", 8]],
)
def test_batch_norm_of_pooled_features_needs_two_clips(overrides):
    message = mistakes(*X3D, *overrides)
    assert "X3D.BN_LIN5: True" in message and "TRAIN.BATCH_SIZE" in message
    for option in (["MODEL.FROZEN_BN", True], ["TRAIN.ENABLE", False], ["X3D.BN_LIN5", False]):
        check_cfg(make_cfg(*X3D, *overrides, *option))


def test_step_that_is_never_reached_needs_no_rate():
    policy = ["SOLVER.LR_POLICY", "steps_with_relative_lrs", "SOLVER.MAX_EPOCH", 3]
    check_cfg(make_cfg(*policy, "SOLVER.STEPS", [0, 1, 2, 3], "SOLVER.LRS", [1, 0.1, 0.01]))
    message = mistakes(*policy, "SOLVER.STEPS", [0, 1, 2, 3], "SOLVER.LRS", [1, 0.1])
    assert "for each of the 3 SOLVER.STEPS [0, 1, 2] before SOLVER.MAX_EPOCH 3" in message


STEPWISE = ["SOLVER.LR_POLICY", "steps_with_relative_lrs", "SOLVER.STEPS", [0, 94, 154]]
STEPWISE += ["SOLVER.LRS", [1, 0.1, 0.01]]
LONG = ["MULTIGRID.LONG_CYCLE", True]
SHORT = ["MULTIGRID.SHORT_CYCLE", True]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (LONG, "MULTIGRID.LONG_CYCLE: True"),
        (
            [*LONG, *STEPWISE, "SOLVER.STEPS", [0]],
            "needs SOLVER.LR_POLICY steps_with_relative_lrs (is steps_with_relative_lrs) and two",
        ),
        (
            [*LONG, *STEPWISE, "MULTIGRID.LONG_CYCLE_FACTORS", [[1, 1], [0.5]]],
            "MULTIGRID.LONG_CYCLE_FACTORS: [[1, 1], [0.5]] must be pairs",
        ),
        ([*LONG, *STEPWISE, "MULTIGRID.LONG_CYCLE_FACTORS", [1]], "LONG_CYCLE_FACTORS: [1] must"),
        ([*LONG, *STEPWISE, "MULTIGRID.LONG_CYCLE_FACTORS", []], "LONG_CYCLE_FACTORS: [] must"),
        (
            [*LONG, *STEPWISE, "DATA.NUM_FRAMES", 1],
            "MULTIGRID.LONG_CYCLE_FACTORS: makes clips of [0, 1] frames from DATA.NUM_FRAMES 1",
        ),
        (
            [*LONG, *STEPWISE, "DATA.INPUT_CHANNEL_NUM", [3, 3], "SLOWFAST.ALPHA", 8],
            "makes clips of [2, 4, 8] frames from DATA.NUM_FRAMES 8; all must be multiples of 8",
        ),
        ([*SHORT, "MULTIGRID.SHORT_CYCLE_FACTORS", [1.2]], "[1.2] must be numbers above 0, up to"),
        ([*SHORT, "MULTIGRID.SHORT_CYCLE_FACTORS", []], "MULTIGRID.SHORT_CYCLE_FACTORS: [] must"),
        (
            [*SHORT, "DATA.TRAIN_CROP_SIZE", 48],
            "cycles make crops of [24, 34] from DATA.TRAIN_CROP_SIZE 48",
        ),
        (
            [*SHORT, "SOLVER.MAX_EPOCH", 1, "MULTIGRID.EPOCH_FACTOR", 0.5],
            "MULTIGRID.EPOCH_FACTOR: 0.5 leaves no epoch of SOLVER.MAX_EPOCH 1",
        ),
    ],
)
def test_cycles_of_multigrid_must_fit(overrides, expected):
    assert expected in mistakes(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        [*LONG, *STEPWISE],
        [*LONG, *SHORT, *STEPWISE],
        SHORT,
        # Cycles that are off may be anything.
        ["MULTIGRID.LONG_CYCLE_FACTORS", [], "MULTIGRID.SHORT_CYCLE_FACTORS", [7]],
    ],
)
def test_cycles_that_fit_pass(overrides):
    check_cfg(make_cfg(*overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        # More rates than steps, as the published recipes have.
        ["SOLVER.LR_POLICY", "steps_with_relative_lrs"]
        + ["SOLVER.STEPS", [0, 9], "SOLVER.LRS", [1, 0.1, 0.01]],
        # Batches of a part that does not run.
        ["NUM_GPUS", 8, "TRAIN.ENABLE", False, "TRAIN.BATCH_SIZE", 3],
        ["NUM_GPUS", 8, "TEST.ENABLE", False, "TEST.BATCH_SIZE", 3],
        # Crops need not be multiples of 32, and either may be the larger one.
        ["DATA.TRAIN_CROP_SIZE", 182, "DATA.TEST_CROP_SIZE", 312],
        ["DATA.TRAIN_CROP_SIZE", 224, "DATA.TEST_CROP_SIZE", 200],
        # One process shares statistics with itself.
        ["BN.NORM_TYPE", "sync_batchnorm", "BN.NUM_SYNC_DEVICES", 4, "NUM_GPUS", 0],
        ["BN.NORM_TYPE", "sync_batchnorm", "BN.GLOBAL_SYNC", True, "NUM_GPUS", 2],
        ["SHARD_ID", 1, "NUM_SHARDS", 2],
        ["DATA.KEEP_ASPECT", False, "TEST.SHORT_SIDE", 320],
        ["DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.08, 1.0]]
        + ["DATA.TRAIN_JITTER_ASPECT_RELATIVE", [0.75, 1.3333]],
    ],
)
def test_what_fits_passes(overrides):
    check_cfg(make_cfg(*overrides))


def test_number_of_processes_of_torchrun_wins_over_num_gpus(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    check_cfg(make_cfg("NUM_GPUS", 8, "TRAIN.BATCH_SIZE", 9, "TEST.BATCH_SIZE", 9))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="TRAIN.BATCH_SIZE: 9 must be a multiple of 2"):
        check_cfg(make_cfg("NUM_GPUS", 3, "TRAIN.BATCH_SIZE", 9, "TEST.BATCH_SIZE", 9))


SIGMOID = ["MODEL.HEAD_ACT", "sigmoid", "MODEL.LOSS_FUNC", "bce"]
AVA = ["TRAIN.DATASET", "ava", "TEST.DATASET", "ava"]
DETECTION = [*AVA, "DETECTION.ENABLE", True, *SIGMOID]
CHARADES = ["TRAIN.DATASET", "charades", "TEST.DATASET", "charades"]
MULTI_LABEL = [*CHARADES, "DATA.MULTI_LABEL", True, *SIGMOID]


@pytest.mark.parametrize(
    "overrides",
    [
        DETECTION,
        MULTI_LABEL,
        [*MULTI_LABEL, "MODEL.LOSS_FUNC", "bce_logit", "AUG.ENABLE", True, *SHORT],
    ],
)
def test_several_labels_at_once_pass(overrides):
    check_cfg(make_cfg(*overrides))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([*DETECTION, "DATA.MULTI_LABEL", True], "with DETECTION.ENABLE it must be False"),
        ([*DETECTION, "MODEL.HEAD_ACT", "softmax"], "MODEL.HEAD_ACT: 'softmax' must be 'sigmoid'"),
        (
            [*MULTI_LABEL, "MODEL.LOSS_FUNC", "cross_entropy"],
            "MODEL.LOSS_FUNC: 'cross_entropy' must be 'bce' or 'bce_logit' with DATA.MULTI_LABEL",
        ),
        ([*MULTI_LABEL, "MODEL.LABEL_SMOOTHING", 0.1], "MODEL.LABEL_SMOOTHING: 0.1 must be 0"),
        ([*DETECTION, "MIXUP.ENABLE", True], "MIXUP.ENABLE: True must be False with DETECTION"),
        ([*MULTI_LABEL, "DATA.LABEL_AWARE_FLIP", True], "LABEL_AWARE_FLIP: True must be False"),
        ([*DETECTION, "AUG.ENABLE", True], "AUG.ENABLE: True must be False with DETECTION"),
        ([*DETECTION, "TEST.REVERSE_TIME", True], "TEST.REVERSE_TIME: True must be False with"),
        ([*DETECTION, *SHORT], "MULTIGRID.SHORT_CYCLE: True must be False with DETECTION"),
        ([*DETECTION, "TEST.SHORT_SIDE", 300], "TEST.SHORT_SIDE: 300 must be 0 with DETECTION."),
        ([*DETECTION, "DATA.KEEP_ASPECT", False], "DATA.KEEP_ASPECT: False must be True with DET"),
        ([*DETECTION, "TEST.WHOLE_VIDEO", 64], "TEST.WHOLE_VIDEO: 64 must be 0 with DETECTION.E"),
        (
            [*DETECTION, "DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.1, 1.0]]
            + ["DATA.TRAIN_JITTER_ASPECT_RELATIVE", [1.0, 1.0]],
            "DATA.TRAIN_JITTER_SCALES_RELATIVE: [0.1, 1.0] must be [] with DETECTION.ENABLE",
        ),
        ([*DETECTION, "DATA.TRAIN_PCA_EIGVAL", [1]], "TRAIN_PCA_EIGVAL: [1] must be three numbers"),
        (
            [*DETECTION, "DATA.TRAIN_PCA_EIGVEC", [[1, 0, 0], [0, 1, 0], [0]]],
            "DATA.TRAIN_PCA_EIGVEC: [[1, 0, 0], [0, 1, 0], [0]] must be three rows",
        ),
    ],
)
def test_detection_and_several_labels_need_what_fits_them(overrides, expected):
    assert expected in mistakes(*overrides)


FINDS = [*DETECTION, "DETECTION.PROPOSALS", "rpn"]
ONE_LABEL = ["MODEL.HEAD_ACT", "softmax", "MODEL.LOSS_FUNC", "cross_entropy"]
IN_SIZE = ["DETECTION.FRAME_SIZE", [320, 400]]
TUBES = ["TRAIN.DATASET", "jhmdb", "TEST.DATASET", "jhmdb"]


@pytest.mark.parametrize(
    "overrides", [FINDS, [*FINDS, *ONE_LABEL, *IN_SIZE], [*DETECTION, *TUBES, *FLOW]]
)
def test_detectors_pass(overrides):
    check_cfg(make_cfg(*overrides))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["DETECTION.PROPOSALS", "rpn"], "DETECTION.PROPOSALS: 'rpn' needs DETECTION.ENABLE True"),
        ([*DETECTION, "DETECTION.NUM_PROPOSALS", 9], "NUM_PROPOSALS: 9 needs DETECTION.PROPOSALS"),
        ([*DETECTION, *ONE_LABEL], "MODEL.HEAD_ACT: 'softmax' must be 'sigmoid'"),
        ([*FINDS, "MODEL.HEAD_ACT", "softmax"], "LOSS_FUNC: 'bce' must be 'cross_entropy'"),
        ([*FINDS, "DETECTION.ANCHOR_SIZES", []], "ANCHOR_SIZES: [] must be a list of 1 to 100"),
        ([*FINDS, "DETECTION.ANCHOR_RATIOS", ["a"]], "ANCHOR_RATIOS: ['a'] must be a list"),
        ([*FINDS, "AVA.TEST_BOXES", "ground_truth"], "AVA.TEST_BOXES: 'ground_truth' must be 'pr"),
        ([*FINDS, "TRAIN.COMPILE", True], "TRAIN.COMPILE: True must be False with DETECTION.PRO"),
        ([*FINDS, "MODEL.WIDTH", 0.5], "MODEL.WIDTH: 0.5 must be 1 with DETECTION.PROPOSALS"),
        (IN_SIZE, "DETECTION.FRAME_SIZE: [320, 400] needs DETECTION.ENABLE True"),
        ([*DETECTION, "DETECTION.FRAME_SIZE", [320]], "FRAME_SIZE: [320] must be [height, width]"),
        ([*DETECTION, *IN_SIZE, "DATA.TEST_CROP_SIZE", 224], "DATA.TEST_CROP_SIZE: 224 has no eff"),
        ([*DETECTION, *TUBES, *FLOW, "AVA.BGR", True], "AVA.BGR: True must be False with DATA.MO"),
        ([*DETECTION, *FLOW], "'ava' is not one of"),
    ],
)
def test_detectors_need_what_fits_them(overrides, expected):
    assert expected in mistakes(*overrides)


ADAPTIVE = ["ADAPTIVE.ENABLE", True]
ALONE = ["ADAPTIVE.FULL_PASS", False, "ADAPTIVE.DISTILL", False, "BN.USE_PRECISE_STATS", True]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["ADAPTIVE.MIN_WIDTH", 0], "ADAPTIVE.MIN_WIDTH: 0.0 must be above 0 and at most 1"),
        (["ADAPTIVE.MIN_WIDTH", 0.7], "must be numbers from ADAPTIVE.MIN_WIDTH 0.7"),
        (["ADAPTIVE.WIDTHS", []], "ADAPTIVE.WIDTHS: [] must be numbers"),
        (["ADAPTIVE.WIDTHS", [0.7, 1.1]], "ADAPTIVE.WIDTHS: [0.7, 1.1]"),
        (["ADAPTIVE.CROPS", [31, 224]], "ADAPTIVE.CROPS: [31, 224] must be whole numbers from 32"),
        (["ADAPTIVE.CROPS", [225]], "from 32 to 224 pixels"),
        (["ADAPTIVE.FRAMES", []], "ADAPTIVE.FRAMES: [] must be whole numbers from 1 to 8 frames"),
        (["ADAPTIVE.FRAMES", [2.5]], "ADAPTIVE.FRAMES: [2.5]"),
        (["DATA.NUM_FRAMES", 4], "ADAPTIVE.FRAMES: [3, 5, 8]"),
        (["ADAPTIVE.TEMPERATURE", 0], "ADAPTIVE.TEMPERATURE: 0.0 must be at least 0.01"),
        (["MODEL.LOSS_FUNC", "bce_logit"], "MODEL.LOSS_FUNC: 'bce_logit' must be 'cross_entropy'"),
        (["MODEL.WIDTH", 0.5], "MODEL.WIDTH: 0.5 must be 1 with ADAPTIVE.ENABLE True"),
        (SHORT, "MULTIGRID.SHORT_CYCLE: True must be False with ADAPTIVE.ENABLE True"),
        (["TRAIN.COMPILE", True], "TRAIN.COMPILE: True must be False with ADAPTIVE.ENABLE True"),
        (["MODEL.ACT_CHECKPOINT", True], "MODEL.ACT_CHECKPOINT: True must be False with ADAPTIVE"),
        (["TRAIN.FREEZE", ["s1"]], "TRAIN.FREEZE: ['s1'] must be [] with ADAPTIVE.ENABLE True"),
        (["DATA.TEST_CROP_SIZE", 160], "ADAPTIVE.CROPS: [142, 178, 224] must be"),
        (["ADAPTIVE.CROPS", [256]], "from 32 to 224 pixels (the smaller of DATA.TRAIN_ and TEST_"),
        (
            ["ADAPTIVE.CROPS", [257], "TRAIN.ENABLE", False],
            "from 32 to 256 pixels (DATA.TEST_CROP_SIZE)",
        ),
        (
            ["ADAPTIVE.DISTILL", False, "ADAPTIVE.TEMPERATURE", 2.0],
            "ADAPTIVE.TEMPERATURE: 2.0 must be 1 with ADAPTIVE.DISTILL False",
        ),
        (MULTI_LABEL, "DATA.MULTI_LABEL: True must be False with ADAPTIVE.ENABLE True"),
        (["ADAPTIVE.POINTS", [[1, 9, 256]]], "1 to 8 frames of the (slow) pathway, and 32 to 256"),
        (["ADAPTIVE.POINTS", [[0.5, 5, 224]]], "[0.5, 5, 224] must be [width, frames, crop]"),
        (["ADAPTIVE.POINTS", [[1, 5, 257]]], "ADAPTIVE.POINTS: [1, 5, 257] must be"),
        (["ADAPTIVE.POINTS", [[1, 5.0, 256]]], "[1, 5.0, 256] must be [width, frames, crop]"),
        (["ADAPTIVE.POINTS", ["1,5,256"]], "ADAPTIVE.POINTS: 1,5,256 must be [width, frames"),
        (ALONE[:2], "ADAPTIVE.DISTILL: True must be False with ADAPTIVE.FULL_PASS False"),
        (ALONE[:4], "BN.USE_PRECISE_STATS: False must be True with ADAPTIVE.FULL_PASS False"),
        ([*ALONE, "ADAPTIVE.NUM_RANDOM", 0], "ADAPTIVE.NUM_RANDOM: 0 must be at least 1"),
    ],
)
def test_adaptive_networks_need_what_fits_them(overrides, expected):
    assert expected in mistakes(*ADAPTIVE, *overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ADAPTIVE,
        [*ADAPTIVE, *ALONE, "ADAPTIVE.POINTS", [[1, 5, 256]]],
        ["ADAPTIVE.WIDTHS", [2], "ADAPTIVE.CROPS", [], "MODEL.WIDTH", 0.5],
    ],
)
def test_adaptive_networks_that_fit_pass(overrides):
    check_cfg(make_cfg(*overrides))


TARGETS = ["MODEL.NUM_CLASSES", [4, 3]]
SIGMOID = ["MODEL.HEAD_ACT", "sigmoid", "MODEL.LOSS_FUNC", "bce"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["MODEL.NUM_CLASSES", []], "MODEL.NUM_CLASSES: [] must be from 1 to 1000000, or a list"),
        (["MODEL.NUM_CLASSES", [4, 0]], "MODEL.NUM_CLASSES: [4, 0] must be from 1 to 1000000"),
        (["MODEL.NUM_CLASSES", 10**9], "MODEL.NUM_CLASSES: 1000000000 must be from 1 to 1000000"),
        (
            [*TARGETS, "DATA.MULTI_LABEL", True, *SIGMOID],
            "DATA.MULTI_LABEL: True must be False with MODEL.NUM_CLASSES [4, 3], several targets",
        ),
        ([*TARGETS, "ADAPTIVE.ENABLE", True], "ADAPTIVE.ENABLE: True must be False with MODEL.NUM"),
        ([*TARGETS, "TEST.BUDGET", "5G"], "TEST.BUDGET: 5G must be '' with MODEL.NUM_CLASSES [4"),
        ([*TARGETS, "DATA.LABEL_AWARE_FLIP", True], "DATA.LABEL_AWARE_FLIP: True must be False"),
        ([*TARGETS, *SIGMOID], "MODEL.HEAD_ACT: 'sigmoid' must be 'softmax' with MODEL.NUM_CLASS"),
        ([*TARGETS, *SIGMOID], "MODEL.LOSS_FUNC: 'bce' must be 'cross_entropy' with MODEL.NUM_CL"),
        (
            ["TRAIN.CLASS_WEIGHTS", "even"],
            "TRAIN.CLASS_WEIGHTS: 'even' must be empty, balanced, or",
        ),
        (["TRAIN.CLASS_WEIGHTS", [1, -1]], "TRAIN.CLASS_WEIGHTS: [1, -1] must be empty, balanced"),
        (["TRAIN.CLASS_WEIGHTS", []], "TRAIN.CLASS_WEIGHTS: [] must be empty, balanced"),
        (
            ["TRAIN.CLASS_WEIGHTS", [1] * 9],
            "TRAIN.CLASS_WEIGHTS: [1, 1, 1, 1, 1, 1, 1, 1, ...] are 9 numbers, not 400, one for "
            "each class of MODEL.NUM_CLASSES 400",
        ),
        (
            [*TARGETS, "TRAIN.CLASS_WEIGHTS", [1] * 4],
            "are 4 numbers, not 7, one for each class of MODEL.NUM_CLASSES [4, 3]",
        ),
        (["MODEL.NUM_CLASSES", 2, "TRAIN.CLASS_WEIGHTS", [0, 0]], "[0, 0] are all 0"),
        ([*TARGETS, "DATA.SAMPLER", "balanced"], "DATA.SAMPLER: 'balanced' needs videos of one"),
        (
            ["DATA.SAMPLER", "balanced", "TRAIN.CLASS_WEIGHTS", "balanced"],
            "TRAIN.CLASS_WEIGHTS: 'balanced' must be empty with DATA.SAMPLER 'balanced'",
        ),
    ],
)
def test_targets_and_balance_that_do_not_fit_are_named(overrides, expected):
    assert expected in mistakes(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        [*TARGETS, "TRAIN.CLASS_WEIGHTS", [1] * 7],
        [*TARGETS, "TRAIN.CLASS_WEIGHTS", "balanced", "MIXUP.ENABLE", True],
        ["DATA.SAMPLER", "balanced"],
        ["DATA.MULTI_LABEL", True, *SIGMOID, "TRAIN.CLASS_WEIGHTS", "balanced"],
    ],
)
def test_targets_and_balance_that_fit_pass(overrides):
    check_cfg(make_cfg(*overrides))
