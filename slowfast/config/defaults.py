"""Every config key with its default and its limits; `get_cfg()` gives an unfrozen copy.

`docs/config.md` and `run_net.py --help-config` are made of this file (`document.py`): a comment
stands above its key or section. Names follow PySlowFast. A key marked "ours" does not exist there.
Keys of PySlowFast and VoV3D that are known but not supported are listed in `unsupported.py`.
"""

from slowfast.config.limits import (
    Above,
    AtLeast,
    ClassCounts,
    ClassWeights,
    Default,
    NotEmpty,
    OneOf,
    Patterns,
    Share,
    Step,
    Word,
)
from slowfast.config.node import ConfigNode

_C = ConfigNode()

# ---------------------------------------------------------------------------- batch normalisation
_C.BN = ConfigNode()
# Recompute the running statistics from training clips after each epoch that is validated or saved.
_C.BN.USE_PRECISE_STATS = False
# Number of batches for BN.USE_PRECISE_STATS, and for the statistics of ADAPTIVE's sub-networks.
_C.BN.NUM_BATCHES_PRECISE = Default(200, AtLeast(1))
# Weight decay of the batch-norm parameters.
_C.BN.WEIGHT_DECAY = Default(0.0, AtLeast(0, 1000))
# batchnorm, sub_batchnorm (statistics per part of the batch) or sync_batchnorm (over processes).
_C.BN.NORM_TYPE = Default("batchnorm", OneOf("batchnorm", "sub_batchnorm", "sync_batchnorm"))
# Number of parts of the batch in sub_batchnorm.
_C.BN.NUM_SPLITS = Default(1, AtLeast(1))
# Number of processes that share statistics in sync_batchnorm.
_C.BN.NUM_SYNC_DEVICES = Default(1, AtLeast(1))
# sync_batchnorm over all processes, for any NUM_SYNC_DEVICES.
_C.BN.GLOBAL_SYNC = False
# Ours. How batch-norm parameters are found for BN.WEIGHT_DECAY: "type" of the module, or "bn" in
# its "name".
_C.BN.GROUP_BY = Default("type", OneOf("type", "name"))

# ---------------------------------------------------------------------------- training
_C.TRAIN = ConfigNode()
# Train; False only tests.
_C.TRAIN.ENABLE = True
# Dataset of training and of the validation in it: kinetics, folder, ssv1, ssv2, charades, ava,
# ucf101, hmdb51, jhmdb or ucf101_24.
_C.TRAIN.DATASET = "kinetics"
# Clips per batch and machine, over all its processes. With AUG.NUM_SAMPLE above 1, videos.
_C.TRAIN.BATCH_SIZE = Default(64, AtLeast(1, 1_000_000))
# Validate every so many epochs.
_C.TRAIN.EVAL_PERIOD = Default(10, AtLeast(1))
# Ours. Stop training when the validation metric has not improved for so many epochs, looked at
# after each validation; the best epoch is checkpoints/checkpoint_best.pyth. 0: train all epochs.
_C.TRAIN.PATIENCE = Default(0, AtLeast(0, 1_000_000))
# Save a checkpoint every so many epochs.
_C.TRAIN.CHECKPOINT_PERIOD = Default(10, AtLeast(1))
# Ours. Save the state in the middle of an epoch, too, after so many minutes; 0 never. SIGUSR1 and
# SIGUSR2 save it at once.
_C.TRAIN.CHECKPOINT_MINUTES = Default(30.0, AtLeast(0))
# Go on from the last checkpoint in OUTPUT_DIR when there is one.
_C.TRAIN.AUTO_RESUME = True
# Initialise the weights from this file: epoch 0, fresh optimizer, new head when the classes differ.
_C.TRAIN.CHECKPOINT_FILE_PATH = ""
# Regular expressions removed from the tensor names of TRAIN.CHECKPOINT_FILE_PATH and TEST's.
_C.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN = Default((), Patterns())
# Ours. Refuse to initialise when a smaller share of the model's tensors (head left out) was found
# in the file.
_C.TRAIN.CHECKPOINT_MIN_COVERAGE = Default(0.9, Share())
# Ours. Number of last checkpoints that are kept, beside the best; 0 keeps all.
_C.TRAIN.KEEP_CHECKPOINTS = Default(0, AtLeast(0))
# Automatic mixed precision.
_C.TRAIN.MIXED_PRECISION = False
# Ours. Number type of mixed precision: float16 (with loss scaling) or bfloat16.
_C.TRAIN.AMP_DTYPE = Default("float16", OneOf("float16", "bfloat16"))
# Ours. Batches whose gradients are added up before one optimizer step.
_C.TRAIN.ACCUMULATION_STEPS = Default(1, AtLeast(1, 1_000_000))
# Ours. Clips of one optimizer step over all machines: ACCUMULATION_STEPS follows from it, and the
# learning rate does not change with the number of machines. 0: BATCH_SIZE of each machine times
# ACCUMULATION_STEPS.
_C.TRAIN.GLOBAL_BATCH_SIZE = Default(0, AtLeast(0, 1_000_000_000))
# Ours. Run the model through torch.compile, each stage by itself.
_C.TRAIN.COMPILE = False
# Ours. Mode of torch.compile: default, reduce-overhead (CUDA graphs, which need a GPU and clips of
# one shape) or max-autotune.
_C.TRAIN.COMPILE_MODE = Default("default", OneOf("default", "reduce-overhead", "max-autotune"))
# Ours. Seconds that compiling may take in all: stages and shapes that come later are not compiled.
_C.TRAIN.COMPILE_SECONDS = Default(600.0, AtLeast(0))
# Ours. Name prefixes of modules that are not trained, e.g. ["s1", "s2"].
_C.TRAIN.FREEZE = []
# Ours. Decay of an exponential moving average of the weights that is evaluated in their place; 0 is
# off.
_C.TRAIN.EMA_DECAY = Default(0.0, Share())
# Ours. Factors of the classes in the training loss: balanced (the rarer the larger, 1 on average
# over the labels) or a list, for several targets one after another. With MULTI_LABEL they weigh
# the labels that hold. The loss is not divided by them. Empty: all 1.
_C.TRAIN.CLASS_WEIGHTS = Default("", ClassWeights())

# Ours, the whole section: one set of weights for many widths, frames and crops (A3D, arXiv
# 2011.12384). Each step the full network learns from the labels, and narrow ones on reduced clips
# learn from its scores.
_C.ADAPTIVE = ConfigNode()
# Train an adaptive network.
_C.ADAPTIVE.ENABLE = False
# Smallest width of a sub-network; each step trains one of this width.
_C.ADAPTIVE.MIN_WIDTH = 0.63
# Sub-networks of a random width per step, beside the narrowest one.
_C.ADAPTIVE.NUM_RANDOM = Default(1, AtLeast(0, 100))
# Each step first trains the full network on whole clips, from the labels. False: sub-networks
# alone, from the labels; needs ADAPTIVE.DISTILL False and BN.USE_PRECISE_STATS True.
_C.ADAPTIVE.FULL_PASS = True
# Crops of which each sub-network draws one, up to DATA.TRAIN_CROP_SIZE. A table of a trained
# network may have crops up to DATA.TEST_CROP_SIZE.
_C.ADAPTIVE.CROPS = [142, 178, 224]
# Frames of which each draws one, of those that the (slow) pathway takes.
_C.ADAPTIVE.FRAMES = [3, 5, 8]
# Widths of the grid, with all FRAMES and CROPS, that is calibrated and tested.
_C.ADAPTIVE.WIDTHS = [0.63, 0.73, 0.83, 0.93, 1.0]
# [width, frames, crop] beside the grid that are calibrated and tested, too: a width from MIN_WIDTH,
# a crop up to DATA.TEST_CROP_SIZE.
_C.ADAPTIVE.POINTS = []
# How clips are made smaller on the device: area (mean values) or bilinear.
_C.ADAPTIVE.RESIZE = Default("area", OneOf("area", "bilinear"))
# Sub-networks learn from the scores of the full network; False: from the labels, too.
_C.ADAPTIVE.DISTILL = True
# Temperature of ADAPTIVE.DISTILL: divides the logits of the full and of the narrow network.
_C.ADAPTIVE.TEMPERATURE = Default(1.0, AtLeast(0.01, 1000))

_C.MULTIGRID = ConfigNode()
# Change frames, crop and batch every few epochs, the learning rate with them; SOLVER.STEPS and
# MAX_EPOCH describe the run without.
_C.MULTIGRID.LONG_CYCLE = False
# Change crop and batch from step to step.
_C.MULTIGRID.SHORT_CYCLE = False
# Epochs, as a factor of the run without; SOLVER.WARMUP_EPOCHS stays.
_C.MULTIGRID.EPOCH_FACTOR = Default(1.5, Above(0, at_most=1000))
# Crops of the short cycle over DATA.TRAIN_CROP_SIZE, before the full one.
_C.MULTIGRID.SHORT_CYCLE_FACTORS = [0.5, 0.5**0.5]
# Frames and crop of each shape of the long cycle over DATA.NUM_FRAMES and DATA.TRAIN_CROP_SIZE.
_C.MULTIGRID.LONG_CYCLE_FACTORS = [[0.25, 0.5**0.5], [0.5, 0.5**0.5], [0.5, 1], [1, 1]]
# Clips that share batch-norm statistics in the long cycle, whose BN.NORM_TYPE, NUM_SPLITS and
# NUM_SYNC_DEVICES follow from it.
_C.MULTIGRID.BN_BASE_SIZE = Default(8, AtLeast(1))
# Validate and save up to so many times in each shape of the long cycle.
_C.MULTIGRID.EVAL_FREQ = Default(3, AtLeast(1))

# ---------------------------------------------------------------------------- augmentation
_C.AUG = ConfigNode()
# Switch for all keys of this section.
_C.AUG.ENABLE = False
# Strength of brightness, contrast and saturation jitter; used when AA_TYPE is empty (timm's rule).
_C.AUG.COLOR_JITTER = Default(0.4, AtLeast(0, 10, if_none=0.0))
# RandAugment in timm's notation, e.g. rand-m9-n2-mstd0.5-inc1; empty is off.
_C.AUG.AA_TYPE = "rand-m9-mstd0.5-inc1"
# Interpolation of RandAugment's geometric operations.
_C.AUG.INTERPOLATION = Default("bicubic", OneOf("nearest", "bilinear", "bicubic"))
# Probability of random erasing.
_C.AUG.RE_PROB = Default(0.25, Share())
# What an erased box is filled with: pixel (noise per pixel), rand (one colour) or const (mean
# colour).
_C.AUG.RE_MODE = Default("pixel", OneOf("pixel", "rand", "const"))
# Number of erased boxes.
_C.AUG.RE_COUNT = Default(1, AtLeast(1, 1000))
# Clips that a step gets from each video, whose frames are read once; cropped, flipped and augmented
# each for itself (repeated augmentation). A batch then has TRAIN.BATCH_SIZE videos and so many
# times as many clips, also with ENABLE False.
_C.AUG.NUM_SAMPLE = Default(1, AtLeast(1, 100))

_C.MIXUP = ConfigNode()
# Mix pairs of clips and their labels.
_C.MIXUP.ENABLE = False
# Beta parameter of mixup; 0 is off.
_C.MIXUP.ALPHA = Default(0.8, AtLeast(0, 1000))
# Beta parameter of cutmix; 0 is off.
_C.MIXUP.CUTMIX_ALPHA = Default(1.0, AtLeast(0, 1000))
# Probability that a batch is mixed.
_C.MIXUP.PROB = Default(1.0, Share())
# Probability of cutmix when both are on.
_C.MIXUP.SWITCH_PROB = Default(0.5, Share())
# Label smoothing of the mixed labels.
_C.MIXUP.LABEL_SMOOTH_VALUE = Default(0.1, Share())

# ---------------------------------------------------------------------------- testing
_C.TEST = ConfigNode()
# Test (after training, when TRAIN.ENABLE).
_C.TEST.ENABLE = True
# Dataset of the test; the same names as TRAIN.DATASET.
_C.TEST.DATASET = "kinetics"
# Clips per forward pass and machine, over all its processes.
_C.TEST.BATCH_SIZE = Default(8, AtLeast(1, 1_000_000))
# Weights to test; empty takes the last checkpoint in OUTPUT_DIR, else TRAIN.CHECKPOINT_FILE_PATH.
_C.TEST.CHECKPOINT_FILE_PATH = ""
# Clips sampled uniformly along each video. Detection has one view: the clip around the key frame,
# whole frames.
_C.TEST.NUM_ENSEMBLE_VIEWS = Default(10, AtLeast(1, 10_000))
# Crops of each clip along the longer side: 1 (centre) or 3; none in detection.
_C.TEST.NUM_SPATIAL_CROPS = Default(3, OneOf(1, 3))
# Ours. Short side of the frames that DATA.TEST_CROP_SIZE is cut from, in pixels. 0: as the
# reference, which is DATA.TRAIN_JITTER_SCALES[0] for one crop of kinetics, folder, ucf101 and
# hmdb51 (never below the crop), else the crop. For detection with DETECTION.TEST_VIEW center.
_C.TEST.SHORT_SIDE = Default(0, AtLeast(0, 10_000))
# File name in OUTPUT_DIR for the scores of all views (npz); empty is test_scores.npz.
_C.TEST.SAVE_RESULTS_PATH = ""
# Ours. Write report.html into OUTPUT_DIR after the test: all about the run in one page, which
# tools/report.py makes again.
_C.TEST.REPORT = True
# Ours. Test on one clip of so many frames that is the whole video at stride 1, as S3D does: a
# shorter video is repeated from its start, of a longer one it is the middle. 0: NUM_ENSEMBLE_VIEWS
# clips of DATA.NUM_FRAMES.
_C.TEST.WHOLE_VIDEO = Default(0, AtLeast(0, 100_000))
# Ours. Play every clip backwards, labels unchanged: what does the order of frames contribute? Not
# for flow.
_C.TEST.REVERSE_TIME = False

# Ours. Number type of tests, predictions, tables and analyses: float32, bfloat16, or train: as
# TRAIN.MIXED_PRECISION and AMP_DTYPE say. With another than float32 the first clips are scored in
# float32, too, and the largest difference is reported. Validation is always as training.
_C.TEST.PRECISION = Default("train", OneOf("train", "float32", "bfloat16"))
# Ours. Run an adaptive network at the most accurate configuration that costs at most this per clip:
# 10G or 500M (multiply-adds), or 50ms; empty: the whole network.
_C.TEST.BUDGET = ""
# Ours. Table of tools/budget.py for TEST.BUDGET; empty: <weights>.budget_table.json beside them.
_C.TEST.BUDGET_TABLE = ""

# ---------------------------------------------------------------------------- models
_C.MODEL = ConfigNode()
# Name of a row of the table in models/build.py, or external for MODEL.FACTORY's; an unknown name
# is answered with all of them.
_C.MODEL.MODEL_NAME = "SlowFast"
# Temporal kernels and max-pool of ResNet: 2d, c2d, i3d, slow, c2d_nopool or i3d_nopool. Other
# models do not read it.
_C.MODEL.ARCH = Default("slowfast", Word())
# Ours. For MODEL_NAME external: what makes the network, "module:function" of an installed package,
# e.g. torchvision.models.video:swin3d_t, timm:create_model.
_C.MODEL.FACTORY = ""
# Ours. Arguments of FACTORY, any names, e.g. MODEL.FACTORY_ARGS.model_name resnet50. A section with
# a FACTORY of its own is made first, as {config: {FACTORY: "transformers:VideoMAEConfig"}}.
_C.MODEL.FACTORY_ARGS = ConfigNode(new_allowed=True)
# Ours. Layer of FACTORY's network that gives the logits; empty: the last linear one.
_C.MODEL.FACTORY_CLASSIFIER = ""
# Ours. Clips as FACTORY's network takes them: NCTHW, NTCHW, images (each frame alone; the mean of
# their logits) or pathways (a list of NCTHW).
_C.MODEL.INPUT_LAYOUT = Default("NCTHW", OneOf("NCTHW", "NTCHW", "images", "pathways"))
# Ours. Share of the channels that the network has, in the roundings of A3D (arXiv 2011.12384), so
# that it takes weights cut out of an adaptive one. SlowFast's fast pathway stays whole.
_C.MODEL.WIDTH = Default(1.0, Above(0, at_most=1))
# Number of classes; of several targets per video a list, e.g. [97, 300] for verb and noun.
_C.MODEL.NUM_CLASSES = Default(400, ClassCounts())
# Ours. Most parameters of a network; one with more is refused before it is built.
_C.MODEL.MAX_PARAMS = Default(2_000_000_000, AtLeast(1))
# cross_entropy, soft_cross_entropy, or where several labels hold at once bce or bce_logit: both are
# the binary cross entropy of logits.
_C.MODEL.LOSS_FUNC = Default(
    "cross_entropy", OneOf("cross_entropy", "soft_cross_entropy", "bce", "bce_logit")
)
# Compute the activations of each stage (MViT: each block) again in the backward pass, which takes
# less memory and more time. Not for external models.
_C.MODEL.ACT_CHECKPOINT = False
# Ours. Label smoothing when MIXUP is off.
_C.MODEL.LABEL_SMOOTHING = Default(0.0, Share())
# Dropout before the classifier.
_C.MODEL.DROPOUT_RATE = Default(0.5, Share())
# Largest probability of dropping a residual branch; grows linearly with depth.
_C.MODEL.DROPCONNECT_RATE = Default(0.0, Share())
# Standard deviation of the classifier's initial weights.
_C.MODEL.FC_INIT_STD = Default(0.01, AtLeast(0, 100))
# Output in evaluation: softmax, sigmoid (several labels at once) or none.
_C.MODEL.HEAD_ACT = Default("softmax", OneOf("softmax", "sigmoid", "none"))
# Ours. Formulation of depthwise convolutions: torch (a grouped 3D convolution), fold (2D on a view,
# for kernels of space or time alone), triton (our own kernels; CUDA, or its interpreter on a CPU),
# or auto: fold on a CPU, torch on a GPU, where nothing else was measured yet.
_C.MODEL.DEPTHWISE = Default("auto", OneOf("auto", "torch", "fold", "triton"))
# Keep all batch-norm layers in evaluation mode, parameters included, while training.
_C.MODEL.FROZEN_BN = False

# ResNet and SlowFast read the whole section; CSN, MC3, R2Plus1D and R3D the initial weights, DEPTH
# and WIDTH_PER_GROUP; other models its first three keys and those that say so. A table has an entry
# for each stage res2 ... res5 and in it a value for each pathway; a single value holds for all
# pathways.
_C.RESNET = ConfigNode()
# Residual branch. ResNet and SlowFast: bottleneck_transform, or basic_transform, a quarter as wide
# outside. X3D: x3d_transform, x3d_2plus1_transform or x3d_1plus2_transform.
_C.RESNET.TRANS_FUNC = "bottleneck_transform"
# Start with zero gamma in the last batch norm of each residual branch and Non-local block.
_C.RESNET.ZERO_INIT_FINAL_BN = False
# Start with zeros in the last convolution of each residual branch.
_C.RESNET.ZERO_INIT_FINAL_CONV = False
# Layers: 18, 34, 50, 101 or 152.
_C.RESNET.DEPTH = 50
# Groups of the 1x3x3 convolution; several make a ResNeXt.
_C.RESNET.NUM_GROUPS = Default(1, AtLeast(1))
# Channels per group in res2. With one group also the stem's (64 with several).
_C.RESNET.WIDTH_PER_GROUP = Default(64, AtLeast(1))
# Stride of a bottleneck in its first convolution; False: in its 1x3x3.
_C.RESNET.STRIDE_1X1 = False
# Blocks of each stage that have temporal kernels, counted from its first; at most all of them.
_C.RESNET.NUM_BLOCK_TEMP_KERNEL = [[3], [4], [6], [3]]
# Spatial stride of each stage. X3D and VoV3D read it too, but their res2 always has stride 2.
_C.RESNET.SPATIAL_STRIDES = [[1], [2], [2], [2]]
# Spatial dilation of each stage. X3D and VoV3D read it too.
_C.RESNET.SPATIAL_DILATIONS = [[1], [1], [1], [1]]
# Ours. The head averages whole maps, for any crop; False: windows as large as the maps of
# training, whose scores are averaged.
_C.RESNET.GLOBAL_POOL = False

_C.NONLOCAL = ConfigNode()
# Numbers of the blocks of each stage and pathway that a Non-local block follows.
_C.NONLOCAL.LOCATION = [[[]], [[]], [[]], [[]]]
# Runs of frames, each attending to itself, in the Non-local blocks of each stage and pathway.
_C.NONLOCAL.GROUP = [[1], [1], [1], [1]]
# How the Non-local blocks weigh positions.
_C.NONLOCAL.INSTANTIATION = Default("dot_product", OneOf("dot_product", "softmax"))
# Max-pool T,H,W of their keys and values.
_C.NONLOCAL.POOL = [
    [[1, 2, 2], [1, 2, 2]],
    [[1, 2, 2], [1, 2, 2]],
    [[1, 2, 2], [1, 2, 2]],
    [[1, 2, 2], [1, 2, 2]],
]

# Ours, the whole section: TSN, TSM, TEA and GST, networks on one frame of each segment of a video.
_C.SEGMENTS = ConfigNode()
# Average over the frames their logits, or before the classifier their features.
_C.SEGMENTS.CONSENSUS = Default("logits", OneOf("logits", "features"))

# Ours, the whole section.
_C.TSM = ConfigNode()
# One in so many channels comes from the next frame, and as many from the one before.
_C.TSM.SHIFT_DIV = Default(8, AtLeast(2))
# The convolution of a block's shortcut sees the shifted channels, too, as in the authors' code of
# TPN; False: only the residual branch, as in the paper.
_C.TSM.SHIFT_SHORTCUT = False

# Ours, the whole section.
_C.TPN = ConfigNode()
# Network below the pyramid: slow (as MODEL.ARCH slow) or tsm (as TSM, with its keys).
_C.TPN.TRUNK = Default("slow", OneOf("slow", "tsm"))
# Frames that the pyramid joins to one, in the maps of res4 and of res5; empty: all of the clip.
_C.TPN.TEMPORAL_SCALES = []
# Loss of a second classifier on the maps of res4, only in training, as a factor of the first. 0
# leaves it out; then released weights have more tensors than the network.
_C.TPN.AUX_LOSS_WEIGHT = Default(0.5, AtLeast(0, 1000))

# Ours, the whole section.
_C.GST = ConfigNode()
# One in so many channels of a block's inner convolution comes from a 3x3x3, the others from a
# 1x3x3.
_C.GST.ALPHA = Default(4, AtLeast(2))
# Each of the two sees its own half of the channels (2), or both see all (1, GST-Large).
_C.GST.BETA = Default(2, OneOf(1, 2))

_C.X3D = ConfigNode()
# Width factor.
_C.X3D.WIDTH_FACTOR = Default(1.0, Above(0, at_most=1000))
# Depth factor.
_C.X3D.DEPTH_FACTOR = Default(1.0, Above(0, at_most=100))
# Inner width of a bottleneck over its output width.
_C.X3D.BOTTLENECK_FACTOR = Default(1.0, Above(0, at_most=1000))
# Width of the last layer before the classifier.
_C.X3D.DIM_C5 = Default(2048, AtLeast(1))
# Width of the stem before the width factor.
_C.X3D.DIM_C1 = Default(12, AtLeast(1))
# Double the width of res2 relative to the stem.
_C.X3D.SCALE_RES2 = False
# Batch norm after the last linear layer.
_C.X3D.BN_LIN5 = False
# Depthwise 3x3x3 in the bottleneck; False: dense 3x1x1 then dense 1x3x3.
_C.X3D.CHANNELWISE_3x3x3 = True
# Ours. Hidden width of squeeze-excitation over the block's inner width; 0 leaves it out.
_C.X3D.SE_RATIO = Default(0.0625, Share())
# Ours. Swish in the middle of the bottleneck; False: ReLU.
_C.X3D.SWISH_INNER = True

_C.VOV3D = ConfigNode()
# Total depth that names the modules per stage: 31 is 1,2,3,2 (VoV3D-M), 70 is 1,2,5,3 (VoV3D-L).
_C.VOV3D.DEPTH = 31
# Ours. T-OSA modules per stage, e.g. [1, 1, 1, 1], in place of what DEPTH says; empty follows
# DEPTH.
_C.VOV3D.NUM_MODULES = []
# T-OSA bottleneck (Table 4): t_osa_3d_transform, t_osa_r2plus1_transform, t_osa_dw3d_transform,
# t_osa_1plus2_transform or t_osa_2plus1_transform.
_C.VOV3D.TRANS_FUNC = "t_osa_2plus1_transform"
# Sub-blocks per T-OSA module.
_C.VOV3D.NUM_CONV = Default(5, AtLeast(1, 100))
# Base of the inner widths.
_C.VOV3D.INNER_CH = Default(40, AtLeast(2))
# Inner width of each stage over INNER_CH.
_C.VOV3D.INNER_MULTIPLIER = [1, 2, 4, 8]
# Output width of each stage over INNER_CH.
_C.VOV3D.OUT_MULTIPLIER = [0.5, 1.0, 2, 4]
# Ours. Swish in the middle of the bottleneck; False: ReLU.
_C.VOV3D.SWISH_INNER = True

# Ours, the whole section.
_C.R2PLUS1D = ConfigNode()
# Public code whose R(2+1)D it is, and whose weights fit: torchvision, vmz or mmaction2, of basic
# blocks (RESNET.DEPTH 18, 34), or pytorchvideo, of bottlenecks (50, 101, 152).
_C.R2PLUS1D.VARIANT = Default(
    "pytorchvideo", OneOf("torchvision", "vmz", "mmaction2", "pytorchvideo")
)

# Ours, the whole section.
_C.CSN = ConfigNode()
# Interaction-reduced (ir) or interaction-preserved (ip), with a 1x1x1 before each depthwise 3x3x3.
_C.CSN.KIND = Default("ir", OneOf("ir", "ip"))
# Public code whose weights fit: vmz, also for mmaction2's, or pytorchvideo. Batch norms and the
# average of the head differ.
_C.CSN.VARIANT = Default("pytorchvideo", OneOf("vmz", "pytorchvideo"))

# Ours, the whole section.
_C.MFNET = ConfigNode()
# Channels of the first stage; each further stage has twice as many.
_C.MFNET.WIDTH = Default(96, AtLeast(4))
# Groups of the convolutions over space and time.
_C.MFNET.NUM_GROUPS = Default(16, AtLeast(1))

# Ours, the whole section.
_C.S3D = ConfigNode()
# Network of the paper; empty: what the next four keys say, which nothing else reads.
_C.S3D.VARIANT = Default("s3d", OneOf("", "i3d", "i2d", "s3d", "s3d-g", "fast-s3d"))
# End of the network that has temporal convolutions: top or bottom.
_C.S3D.TEMPORAL_END = Default("top", OneOf("top", "bottom"))
# Where that end begins (top) or ends (bottom), K in the paper: 0 the stem, 1 conv2c, 2 ... 10 the
# blocks 3b, 3c, 4b, 4c, 4d, 4e, 4f, 5b, 5c.
_C.S3D.POSITION = Default(0, AtLeast(0))
# Convolve space, then time; False: both at once.
_C.S3D.SEPARABLE = True
# Gate the channels after each temporal convolution.
_C.S3D.GATING = False
# Temporal convolutions on all four branches of an Inception block, rather than on two.
_C.S3D.ALL_BRANCHES = False
# Stem; empty: like the rest of its end.
_C.S3D.STEM = Default("", OneOf("", "2d", "3d", "separable"))
# Frames of the stem's kernel where it is not 2d.
_C.S3D.STEM_KERNEL_T = Default(7, OneOf(3, 5, 7))
# Width factor.
_C.S3D.WIDTH_FACTOR = Default(1.0, Above(0, at_most=1000))

# Ours, the whole section. Depth and width are those of RESNET.
_C.BLVNET = ConfigNode()
# Channels of the big branch per channel of the little one.
_C.BLVNET.ALPHA = Default(2, AtLeast(1, 64))
# Blocks of a stage per block of the little branch, which has one fewer than that.
_C.BLVNET.BETA = Default(4, AtLeast(1, 64))

# Ours, the whole section.
_C.TRN = ConfigNode()
# Network of single frames: BNInception, or ResNet of RESNET.DEPTH layers.
_C.TRN.BACKBONE = Default("BNInception", OneOf("BNInception", "ResNet"))
# Relations between subsets of 2 ... NUM_FRAMES frames (multi) or between all of them (single).
_C.TRN.SCALES = Default("multi", OneOf("multi", "single"))
# Features of a frame.
_C.TRN.DIM_FRAME = Default(256, AtLeast(1, 100_000))
# Subsets that each scale but the largest draws for a training step.
_C.TRN.NUM_SUBSETS = Default(3, AtLeast(1, 1000))
# Subsets in evaluation: drawn (as many, by EVAL_SEED, the same at each pass) or all.
_C.TRN.EVAL_SUBSETS = Default("drawn", OneOf("drawn", "all"))
# Seed of the subsets in evaluation.
_C.TRN.EVAL_SEED = Default(0, AtLeast(0, 2**32 - 1))

# MViT and its second version. Entries of lists begin with the number of a block, from 0.
_C.MVIT = ConfigNode()
# Number of blocks.
_C.MVIT.DEPTH = Default(16, AtLeast(1, 1000))
# Width of the first block.
_C.MVIT.EMBED_DIM = Default(96, AtLeast(1, 100_000))
# Heads of the first block.
_C.MVIT.NUM_HEADS = Default(1, AtLeast(1, 1000))
# Factors of the width: [[1, 2.0], [3, 2.0]] doubles it in these blocks.
_C.MVIT.DIM_MUL = []
# Factors of the number of heads.
_C.MVIT.HEAD_MUL = []
# A block widens in its attention (MViTv2); False: at the end of the block before, in the MLP.
_C.MVIT.DIM_MUL_IN_ATT = False
# Inner width of the MLPs over the width of the block.
_C.MVIT.MLP_RATIO = Default(4.0, Above(0, at_most=1000))
# Kernel T,H,W of the convolution from the clip to the first tokens.
_C.MVIT.PATCH_KERNEL = [3, 7, 7]
# Its stride.
_C.MVIT.PATCH_STRIDE = [2, 4, 4]
# Its padding.
_C.MVIT.PATCH_PADDING = [2, 4, 4]
# Patches of images: not supported, clips have 3D ones.
_C.MVIT.PATCH_2D = False
# How queries, keys and values are pooled: conv (each channel by a kernel that the heads share),
# conv_unshared (a kernel for each channel of each head; needs POOL_FIRST), avg or max.
_C.MVIT.MODE = Default("conv", OneOf("conv", "conv_unshared", "avg", "max"))
# Pool before the linear layers of attention, not after them.
_C.MVIT.POOL_FIRST = False
# Kernel T,H,W of the poolings; empty: one above the stride where that is above 1.
_C.MVIT.POOL_KVQ_KERNEL = []
# Strides of the queries, [[block, t, h, w], ...]. A block that is not listed has no pooling.
_C.MVIT.POOL_Q_STRIDE = []
# Strides of keys and values, [[block, t, h, w], ...].
_C.MVIT.POOL_KV_STRIDE = []
# Stride T,H,W of keys and values in the first block, in place of POOL_KV_STRIDE. It shrinks as
# queries are pooled, so that all blocks have keys of one size; empty is off.
_C.MVIT.POOL_KV_STRIDE_ADAPTIVE = []
# Add the pooled queries to the output of attention (MViTv2).
_C.MVIT.RESIDUAL_POOLING = False
# Biases in the linear layers of queries, keys and values.
_C.MVIT.QKV_BIAS = True
# A linear layer for each of queries, keys and values; False: one for all.
_C.MVIT.SEPARATE_QKV = False
# A class token, which the head reads; False: it reads the mean of all tokens.
_C.MVIT.CLS_EMBED_ON = True
# The head reads the normalised mean of all tokens but the class token.
_C.MVIT.USE_MEAN_POOLING = False
# Add positions to the first tokens.
_C.MVIT.USE_ABS_POS = True
# Positions are the sum of one of space and one of time; False: one for each token.
_C.MVIT.SEP_POS_EMBED = False
# Positions are sines, which are not trained.
_C.MVIT.USE_FIXED_SINCOS_POS = False
# Positions of queries relative to keys in the attentions, in space (MViTv2).
_C.MVIT.REL_POS_SPATIAL = False
# The same in time.
_C.MVIT.REL_POS_TEMPORAL = False
# Relative positions start at zero.
_C.MVIT.REL_POS_ZERO_INIT = False
# No weight decay on positions and the class token.
_C.MVIT.ZERO_DECAY_POS_CLS = True
# Kind of normalisation.
_C.MVIT.NORM = Default("layernorm", OneOf("layernorm"))
# Normalise the first tokens.
_C.MVIT.NORM_STEM = False
# Largest probability of dropping a branch of a block; grows linearly with depth from 0.
_C.MVIT.DROPPATH_RATE = Default(0.1, AtLeast(0, 0.99))
# Dropout of tokens, in attention and MLPs.
_C.MVIT.DROPOUT_RATE = Default(0.0, Share())
# Factor of the classifier's initial weights and biases.
_C.MVIT.HEAD_INIT_SCALE = Default(1.0, AtLeast(0, 1000))
# Reversible MViT: not supported.
_C.MVIT.REV = ConfigNode()
# Reversible blocks.
_C.MVIT.REV.ENABLE = False

_C.SLOWFAST = ConfigNode()
# Frame rate of the fast pathway per frame rate of the slow one.
_C.SLOWFAST.ALPHA = Default(8, AtLeast(1, 1000))
# Width of the slow pathway per width of the fast one.
_C.SLOWFAST.BETA_INV = Default(8, AtLeast(1))
# Channels of the lateral connections per channel of the fast pathway.
_C.SLOWFAST.FUSION_CONV_CHANNEL_RATIO = Default(2, AtLeast(1))
# Temporal kernel of the lateral connections; odd.
_C.SLOWFAST.FUSION_KERNEL_SZ = Default(5, AtLeast(1, 1001))

# ---------------------------------------------------------------------------- data
_C.DATA = ConfigNode()
# Folder of the dataset's lists and labels (DATA.md): for kinetics train.csv, val.csv and test.csv.
_C.DATA.PATH_TO_DATA_DIR = ""
# Separator between path and label in a csv; a tab may be written \t.
_C.DATA.PATH_LABEL_SEPARATOR = Default(" ", NotEmpty())
# Ours. Lines of the lists of kinetics: labels (path label, several labels with MULTI_LABEL or
# several targets), frames (path num_frames label: folders of images), parts (path start end label:
# seconds of a file), or auto, which recognises these by the lines and the files.
_C.DATA.LIST_FORMAT = Default("auto", OneOf("auto", "labels", "frames", "parts"))
# Ours. Frames per second of folders of images in lists of kinetics, whose parts in seconds need it;
# 0: unknown, they count as frames at TARGET_FPS.
_C.DATA.FRAMES_FPS = Default(0.0, AtLeast(0, 10_000))
# Folder that the paths of videos, frames or flow start from; empty: PATH_TO_DATA_DIR. Ours: also an
# address (s3://bucket/k400), and tars, whose members are looked up by the paths (packed/*.tar).
_C.DATA.PATH_PREFIX = ""
# Ours. What the network sees: rgb, or the optical flow of the same videos (flow), which
# `tools/flow.py` wrote into the folder PATH_PREFIX. Flow needs INPUT_CHANNEL_NUM [2] or [2, 2] and
# two values of MEAN and STD; it is for kinetics, folder, ssv1, ssv2, ucf101 and hmdb51.
_C.DATA.MODALITY = Default("rgb", OneOf("rgb", "flow"))
# Ours. What ssv2, charades, jhmdb and ucf101_24 are read from: frames (image files), videos, or
# auto: frames if there is a list or folder of them, else videos.
_C.DATA.SOURCE = Default("auto", OneOf("auto", "frames", "videos"))
# Ours. File that `tools/dataset.py index` wrote: frame counts, times and keyframes, so that long
# videos need not be scanned; empty is none.
_C.DATA.INDEX_FILE = ""
# Ours. Largest number of pixels, width times height, of a frame of a video or of an image file;
# what has more is unreadable, before memory is taken for it. Up to 2147483647, FFmpeg's own.
_C.DATA.MAX_PIXELS = Default(67108864, Above(0, at_most=2**31 - 1))
# Ours. Official split of ucf101, hmdb51, jhmdb and ucf101_24.
_C.DATA.SPLIT_NUMBER = Default(1, OneOf(1, 2, 3))
# Ours. Share of each class of the dataset "folder" that is held out for validation, chosen by the
# files' names, where the folder has no train and val folders of its own.
_C.DATA.VAL_SHARE = Default(0.2, Share())
# Ours. Order of the training videos: shuffled (each once an epoch) or balanced (each class equally
# often; an epoch has as many clips, so that videos of rare classes come several times).
_C.DATA.SAMPLER = Default("shuffled", OneOf("shuffled", "balanced"))
# A video has any number of labels (charades, and on demand kinetics and folder).
_C.DATA.MULTI_LABEL = False
# Ours. Match the classes of weights and data by their names, where both have names: in a test, in
# fine-tuning and in going on with a run. False: by their numbers.
_C.DATA.MATCH_CLASSES = True
# Frames per clip.
_C.DATA.NUM_FRAMES = Default(8, AtLeast(1, 100_000))
# Step between the frames of a clip, in frames at TARGET_FPS; 2.5 is a step, too.
_C.DATA.SAMPLING_RATE = Default(8, Step(1, 10_000))
# Ours. Frames of a clip: auto (as the dataset's recipes do), dense (NUM_FRAMES, SAMPLING_RATE
# apart), segments (one of each of NUM_FRAMES equal parts of the video, as TSN and TSM take them) or
# window (SAMPLING_RATE frames of the video apart, at any frame rate, TSM's dense sampling). Of
# charades segments alone, of detection none.
_C.DATA.SAMPLING = Default("auto", OneOf("auto", "dense", "segments", "window"))
# Ours. Sample clips of so many frames, and read evenly spread NUM_FRAMES of these, as networks cut
# out of an adaptive one need; 0: NUM_FRAMES.
_C.DATA.SAMPLED_FRAMES = 0
# Pixel mean per channel, of values in 0..1. Flow of -20..20 pixels is 0..1, no motion 0.5.
_C.DATA.MEAN = [0.45, 0.45, 0.45]
# Pixel standard deviation per channel, of values in 0..1. Of flow 0.1 means 4 pixels.
_C.DATA.STD = [0.225, 0.225, 0.225]
# Channels of each pathway, 3 or for flow 2; the number of entries is the number of pathways.
_C.DATA.INPUT_CHANNEL_NUM = [3, 3]
# Smallest and largest short side of the scale jitter, in pixels; validation takes the smallest.
_C.DATA.TRAIN_JITTER_SCALES = [256, 320]
# Smallest and largest area of a random resized crop over the frame's area; used in place of
# TRAIN_JITTER_SCALES.
_C.DATA.TRAIN_JITTER_SCALES_RELATIVE = []
# Smallest and largest aspect ratio of a random resized crop.
_C.DATA.TRAIN_JITTER_ASPECT_RELATIVE = []
# Ours. Sides of a random crop of whole frames over their short side, e.g. [1, 0.875, 0.75, 0.66]:
# height and width are drawn, neighbours in this list or the same, and one of 13 places (TSN's
# multi-scale crop); used in place of TRAIN_JITTER_SCALES.
_C.DATA.TRAIN_CROP_SCALES = []
# Crop in training and validation, in pixels.
_C.DATA.TRAIN_CROP_SIZE = Default(224, AtLeast(32, 10_000))
# Crop in testing, in pixels; TEST.SHORT_SIDE says of which frames. Short side of detection's whole
# frames.
_C.DATA.TEST_CROP_SIZE = Default(256, AtLeast(32, 10_000))
# Frame rate to which SAMPLING_RATE refers.
_C.DATA.TARGET_FPS = Default(30, AtLeast(1, 1000))
# Let the last test clip reach the end of the video.
_C.DATA.USE_OFFSET_SAMPLING = False
# Draw the short side uniformly in 1/size rather than in size.
_C.DATA.INV_UNIFORM_SAMPLE = False
# Random horizontal flip in training; of flow it also turns x around.
_C.DATA.RANDOM_FLIP = True
# Ours. A flipped clip gets the label with left and right swapped, where the classes have one.
_C.DATA.LABEL_AWARE_FLIP = False
# Ours. JSON {class: class when flipped} of names or numbers, which wins over what the names of the
# classes say; empty is none.
_C.DATA.FLIP_LABELS_FILE = ""
# Join the scores of a video's views by sum or max.
_C.DATA.ENSEMBLE_METHOD = Default("sum", OneOf("sum", "max"))
# Reverse the order of colours that the published code feeds: RGB for videos, BGR for the image
# files of ssv1, ssv2 and charades.
_C.DATA.REVERSE_INPUT_CHANNEL = False
# Principal components of ImageNet's colours, for AVA.TRAIN_USE_COLOR_AUGMENTATION: eigenvalues.
_C.DATA.TRAIN_PCA_EIGVAL = [0.225, 0.224, 0.229]
# Principal components of ImageNet's colours: eigenvectors, in the columns of rows R, G, B.
_C.DATA.TRAIN_PCA_EIGVEC = [
    [-0.5675, 0.7192, 0.4009],
    [-0.5808, -0.0045, -0.8140],
    [-0.5836, -0.6948, 0.4203],
]
# Ours. Who scales frames: swscale (while decoding: fast, little memory) or torch (the reference's
# numbers).
_C.DATA.RESIZE_BACKEND = Default("swscale", OneOf("swscale", "torch"))
# Ours. False: frames are squeezed to squares as large as the short side would be, as for S3D; not
# for detection.
_C.DATA.KEEP_ASPECT = True
# Ours. Stop when a larger share of the videos of a split is missing before it is read, and training
# when so many of its videos turned out unreadable.
_C.DATA.MAX_UNREADABLE_SHARE = Default(0.2, Share())
# Ours. Longest time for one video, in seconds; then it counts as unreadable, or the run ends with
# its name where the read cannot be interrupted (a network folder that hangs; any read on Windows,
# where DATA_LOADER.NUM_WORKERS 0 knows no limit). 0: no limit.
_C.DATA.READ_TIMEOUT = Default(600.0, AtLeast(0))
# Ours. Folder of this machine, which its processes share, for what comes from stores and web
# servers; empty keeps nothing.
_C.DATA.CACHE_DIR = ""
# Ours. Size of CACHE_DIR, in GB.
_C.DATA.CACHE_GB = Default(100.0, Above(0))

# ---------------------------------------------------------------------------- detection
_C.DETECTION = ConfigNode()
# Classify boxes in place of clips: a head on regions of interest, for ava, jhmdb and ucf101_24.
_C.DETECTION.ENABLE = False
# Half-pixel correction of RoIAlign; False is how the weights of Caffe2 were trained.
_C.DETECTION.ALIGNED = True
# Pixels of the clip per position of the last map: 32, or 16 where RESNET.SPATIAL_STRIDES leaves out
# the stride of res5; S3D ends at Mixed_5c with 32, at Mixed_4e with 16.
_C.DETECTION.SPATIAL_SCALE_FACTOR = Default(16, AtLeast(1))
# Positions that RoIAlign samples from a box, along each side.
_C.DETECTION.ROI_XFORM_RESOLUTION = Default(7, AtLeast(1, 100))
# Ours. Part of a frame that a test sees: whole, or the center, a square of DATA.TEST_CROP_SIZE.
# Boxes outside of it get no scores; the ground truth stays whole.
_C.DETECTION.TEST_VIEW = Default("whole", OneOf("whole", "center"))
# Ours. [height, width] to which whole frames are scaled in training, validation and testing, their
# shape aside; []: crops of DATA.TRAIN_CROP_SIZE and frames of a short side.
_C.DETECTION.FRAME_SIZE = []
# Ours. Boxes that are classified: those given by the dataset (see AVA.TEST_BOXES), or found in the
# key frame by a region proposal network that is trained, too (rpn; S3D).
_C.DETECTION.PROPOSALS = Default("given", OneOf("given", "rpn"))
# Ours. torchvision's network that sees the key frame, up to its stride of 16.
_C.DETECTION.RPN_BACKBONE = Default("resnet50", OneOf("resnet18", "resnet34", "resnet50"))
# Ours. File with weights of RPN_BACKBONE, from images; TRAIN.CHECKPOINT_FILE_PATH then fills the
# rest. Empty: that file fills the whole detector.
_C.DETECTION.RPN_CHECKPOINT = ""
# Ours. Sides of the squares from which proposals start, in pixels of the clip.
_C.DETECTION.ANCHOR_SIZES = [64, 128, 256, 512]
# Ours. Their shapes: height over width.
_C.DETECTION.ANCHOR_RATIOS = [0.5, 1.0, 2.0]
# Ours. Proposals of a key frame.
_C.DETECTION.NUM_PROPOSALS = Default(300, AtLeast(1, 10_000))
# Ours. Of these, boxes of a key frame from which the head learns; at most a quarter show something.
_C.DETECTION.NUM_SAMPLED = Default(64, AtLeast(4, 10_000))
# Ours. Units between the maps of a box and its class.
_C.DETECTION.HEAD_DIM = Default(1024, AtLeast(1, 100_000))
# Ours. Of boxes of one class that overlap by more than this IoU, the best one stays.
_C.DETECTION.NMS_IOU = Default(0.6, Share())
# Ours. Boxes with a class that are kept of a key frame.
_C.DETECTION.MAX_DETECTIONS = Default(100, AtLeast(1, 10_000))

_C.AVA = ConfigNode()
# Folder of the image files <video>/<video>_000001.jpg; empty: "frames" below
# DATA.PATH_TO_DATA_DIR.
_C.AVA.FRAME_DIR = ""
# Ours. Image files per second. Video files say their own rate.
_C.AVA.FPS = Default(30.0, Above(0, at_most=10_000))
# Folder of the frame lists; empty: "frame_lists" below DATA.PATH_TO_DATA_DIR.
_C.AVA.FRAME_LIST_DIR = ""
# Folder of the files with boxes and labels; empty: "annotations" below DATA.PATH_TO_DATA_DIR.
_C.AVA.ANNOTATION_DIR = ""
# Ours. Folder of video files <video>.*, read in place of image files; empty: image files.
_C.AVA.VIDEO_DIR = ""
# Ours. Second of the annotations at which the video or image files begin: 900 for AVA's cut 15
# minutes, 0 for whole movies and own clips.
_C.AVA.VIDEO_START_SECOND = Default(
    None, AtLeast(0, none_means="what the lengths of the files say")
)
# Frame lists of training.
_C.AVA.TRAIN_LISTS = ["train.csv"]
# Frame lists of validation and testing.
_C.AVA.TEST_LISTS = ["val.csv"]
# Boxes and labels of training.
_C.AVA.TRAIN_GT_BOX_LISTS = ["ava_train_v2.2.csv"]
# Detected boxes that training uses too.
_C.AVA.TRAIN_PREDICT_BOX_LISTS = []
# Detected boxes that are classified in validation and testing.
_C.AVA.TEST_PREDICT_BOX_LISTS = ["ava_val_predicted_boxes.csv"]
# Ours. Boxes that are classified in validation and testing: predicted or ground_truth.
_C.AVA.TEST_BOXES = Default("predicted", OneOf("predicted", "ground_truth"))
# Lowest score of a detected box that is used.
_C.AVA.DETECTION_SCORE_THRESH = Default(0.9, Share())
# Give the network BGR in place of RGB.
_C.AVA.BGR = False
# Jitter colours in training.
_C.AVA.TRAIN_USE_COLOR_AUGMENTATION = False
# Only along the principal components, not also brightness, contrast and saturation.
_C.AVA.TRAIN_PCA_JITTER_ONLY = True
# Flip all clips in validation and testing.
_C.AVA.TEST_FORCE_FLIP = False
# Validate on every second of the lists; False: on every fourth. A test takes them all.
_C.AVA.FULL_TEST_ON_VAL = False
# Names of the classes.
_C.AVA.LABEL_MAP_FILE = "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
# Videos and seconds left out of the metric.
_C.AVA.EXCLUSION_FILE = "ava_val_excluded_timestamps_v2.2.csv"
# Boxes and labels of validation and testing.
_C.AVA.GROUNDTRUTH_FILE = "ava_val_v2.2.csv"
# Ours. Definition of the mAP: score_sorted (boxes matched in the order of their scores), pyslowfast
# (in the order of the file) or activitynet (the 50 best of a frame, as the official scorer).
_C.AVA.METRIC = Default("score_sorted", OneOf("score_sorted", "pyslowfast", "activitynet"))

# ---------------------------------------------------------------------------- solver
_C.SOLVER = ConfigNode()
# Learning rate after warm-up.
_C.SOLVER.BASE_LR = Default(0.1, AtLeast(0, 10_000))
# Course of the learning rate.
_C.SOLVER.LR_POLICY = Default("cosine", OneOf("cosine", "steps_with_relative_lrs"))
# Learning rate at the end of cosine.
_C.SOLVER.COSINE_END_LR = Default(0.0, AtLeast(0, 10_000))
# Epochs at which steps_with_relative_lrs changes, the first 0.
_C.SOLVER.STEPS = []
# Learning rates over BASE_LR from each of SOLVER.STEPS on.
_C.SOLVER.LRS = []
# Number of epochs.
_C.SOLVER.MAX_EPOCH = Default(300, AtLeast(1, 1_000_000))
# SGD momentum.
_C.SOLVER.MOMENTUM = Default(0.9, Share())
# SGD dampening.
_C.SOLVER.DAMPENING = Default(0.0, Share())
# Nesterov momentum.
_C.SOLVER.NESTEROV = True
# Weight decay.
_C.SOLVER.WEIGHT_DECAY = Default(1e-4, AtLeast(0, 1000))
# Epochs of linear warm-up.
_C.SOLVER.WARMUP_EPOCHS = Default(0.0, AtLeast(0))
# Learning rate at the start of the warm-up.
_C.SOLVER.WARMUP_START_LR = Default(0.01, AtLeast(0, 10_000))
# Optimizer.
_C.SOLVER.OPTIMIZING_METHOD = Default("sgd", OneOf("sgd", "adam", "adamw"))
# Multiply BASE_LR, WARMUP_START_LR and COSINE_END_LR by NUM_SHARDS.
_C.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False
# Count the cosine from the end of warm-up.
_C.SOLVER.COSINE_AFTER_WARMUP = False
# No weight decay on biases and other 1-d parameters.
_C.SOLVER.ZERO_WD_1D_PARAM = False
# Largest absolute gradient.
_C.SOLVER.CLIP_GRAD_VAL = Default(None, Above(0, none_means="no clipping"))
# Largest L2 norm of all gradients.
_C.SOLVER.CLIP_GRAD_L2NORM = Default(None, Above(0, none_means="no clipping"))
# Ours. Learning rate of the classifier (head.projection), as a factor of the rest.
_C.SOLVER.HEAD_LR_FACTOR = Default(1.0, AtLeast(0, 10_000))
# Factor of the learning rate from one block to the block before it: the classifier has BASE_LR,
# the first tokens the least. For MViT; 1 is off.
_C.SOLVER.LAYER_DECAY = Default(1.0, Above(0, at_most=1))
# Betas of adam and adamw.
_C.SOLVER.BETAS = (0.9, 0.999)

# ---------------------------------------------------------------------------- the run
# Name of the task: classification, multi_label, several_targets, detection, adaptive, or one of
# your own (docs/extend.md). Empty: what DETECTION.ENABLE, ADAPTIVE.ENABLE, DATA.MULTI_LABEL and
# MODEL.NUM_CLASSES say.
_C.TASK = ""
# Ours. Modules with models, datasets, tasks or rules of your own, imported before they are looked
# up: names of modules in the current folder or installed, or paths of .py files or folders.
_C.IMPORTS = []
# Processes on this machine, one per GPU; 0 runs one process on the CPU. torchrun's environment
# wins.
_C.NUM_GPUS = Default(1, AtLeast(0, 1024))
# Number of machines.
_C.NUM_SHARDS = Default(1, AtLeast(1, 100_000))
# Number of this machine.
_C.SHARD_ID = Default(0, AtLeast(0))
# Folder for everything that a run writes.
_C.OUTPUT_DIR = Default(".", NotEmpty())
# Seed of all randomness.
_C.RNG_SEED = 1
# Ours. Compute with operations that give the same numbers every time, so that a run on a GPU can
# be repeated and resumed to the bit; slower. Operations without such a form, as the backward pass
# of max pools on a GPU, are named by a warning each.
_C.DETERMINISTIC = False
# Ours. Let GPUs multiply float32 numbers in TF32, with the 10 bits of mantissa of float16: in
# convolutions, as PyTorch does by default, and in all other products. False: float32 throughout.
_C.TF32 = True
# Ours. How clips and weights of convolutions lie in memory: contiguous (N,C,T,H,W),
# channels_last_3d (N,T,H,W,C), or auto: channels_last_3d on the CPU, contiguous on a GPU, where
# neither is measured.
_C.MEMORY_FORMAT = Default("auto", OneOf("auto", "contiguous", "channels_last_3d"))

# Ours, the whole section: options of PyTorch's DistributedDataParallel, which has no part in a run
# of one process.
_C.DDP = ConfigNode()
# Let gradients be views into the buffers in which they travel: less memory, and no copy.
_C.DDP.BUCKET_VIEW = False
# Promise that every step has the same parameters in the same order, which the first one shows.
_C.DDP.STATIC_GRAPH = False
# Number type in which gradients travel: float32 or bfloat16 (half as much, rounded).
_C.DDP.GRADIENTS = Default("float32", OneOf("float32", "bfloat16"))
# Steps between two log lines.
_C.LOG_PERIOD = Default(10, AtLeast(1))
# Log parameters and GMACs before training.
_C.LOG_MODEL_INFO = True
# How processes exchange tensors; a run on the CPU always takes gloo.
_C.DIST_BACKEND = Default("nccl", OneOf("nccl", "gloo"))
# Ours. Longest wait for another process, in minutes; then the run ends. An evaluation of the first
# process for which the others wait must take less.
_C.DIST_TIMEOUT_MINUTES = Default(60.0, Above(0, 100_000))

_C.DATA_LOADER = ConfigNode()
# Loader processes per training process.
_C.DATA_LOADER.NUM_WORKERS = Default(8, AtLeast(0, 1024))
# Pinned memory for copies to the GPU.
_C.DATA_LOADER.PIN_MEMORY = True

_C.TENSORBOARD = ConfigNode()
# Write TensorBoard scalars.
_C.TENSORBOARD.ENABLE = False
# Folder of TensorBoard's files below OUTPUT_DIR; empty is "tensorboard".
_C.TENSORBOARD.LOG_DIR = ""
# Scores for the confusion matrix, the histograms and the wrong videos: the npz of a test, or
# PySlowFast's pickle, which has no wrong videos; empty is the npz of this run.
_C.TENSORBOARD.PREDICTIONS_PATH = ""
# Names of the classes, a JSON {name: number}; empty: the data's.
_C.TENSORBOARD.CLASS_NAMES_PATH = ""
# JSON {category: [names of classes]}; each category has a confusion matrix of its own.
_C.TENSORBOARD.CATEGORIES_PATH = ""
_C.TENSORBOARD.CONFUSION_MATRIX = ConfigNode()
# Draw the confusion matrix of the test.
_C.TENSORBOARD.CONFUSION_MATRIX.ENABLE = False
# Width and height in inches.
_C.TENSORBOARD.CONFUSION_MATRIX.FIGSIZE = [8, 8]
# File with names of classes, one a line, that are drawn; empty is all.
_C.TENSORBOARD.CONFUSION_MATRIX.SUBSET_PATH = ""
_C.TENSORBOARD.HISTOGRAM = ConfigNode()
# Draw for each class the classes that its videos are taken for.
_C.TENSORBOARD.HISTOGRAM.ENABLE = False
# Number of these, the most frequent.
_C.TENSORBOARD.HISTOGRAM.TOPK = Default(10, AtLeast(1, 1000))
# Width and height in inches.
_C.TENSORBOARD.HISTOGRAM.FIGSIZE = [8, 8]
# File with names of classes, one a line, that are drawn; empty is all.
_C.TENSORBOARD.HISTOGRAM.SUBSET_PATH = ""
_C.TENSORBOARD.MODEL_VIS = ConfigNode()
# Show up to 16 test videos and what the network makes of them, after the test.
_C.TENSORBOARD.MODEL_VIS.ENABLE = False
# Show the kernels of the first convolutions.
_C.TENSORBOARD.MODEL_VIS.MODEL_WEIGHTS = False
# Show the maps of the layers of LAYER_LIST.
_C.TENSORBOARD.MODEL_VIS.ACTIVATIONS = False
# Show the clips.
_C.TENSORBOARD.MODEL_VIS.INPUT_VIDEO = False
# Names of layers: s5.pathway0_res2 (also with /) shows its strongest channels, "s5 0,1" channels 0
# and 1, "s5 0,1;2,3" channel 0 in frame 2 and 1 in 3. Empty: the last layer with places.
_C.TENSORBOARD.MODEL_VIS.LAYER_LIST = []
# Likeliest classes that are written on a clip.
_C.TENSORBOARD.MODEL_VIS.TOPK_PREDS = Default(1, AtLeast(1, 1000))
# Colours of the maps of layers, a colormap of matplotlib.
_C.TENSORBOARD.MODEL_VIS.COLORMAP = "Pastel2"
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM = ConfigNode()
# Show the clips under their class activation.
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM.ENABLE = True
# Layers whose maps are taken, one for all pathways or one for each; empty: the last with places.
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM.LAYER_LIST = []
# Explain the video's own class, not the likeliest.
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM.USE_TRUE_LABEL = False
# Colours of the activation, a colormap of matplotlib.
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM.COLORMAP = "viridis"
_C.TENSORBOARD.WRONG_PRED_VIS = ConfigNode()
# Show the clips of wrongly classified videos, up to 16, the surest first.
_C.TENSORBOARD.WRONG_PRED_VIS.ENABLE = False
# Name under which TensorBoard has them.
_C.TENSORBOARD.WRONG_PRED_VIS.TAG = "Incorrectly classified videos."
# File with names of classes, one a line, whose videos are shown; empty is all.
_C.TENSORBOARD.WRONG_PRED_VIS.SUBSET_PATH = ""

# Ours. Send the run to a tracker: wandb, trackio, mlflow, or "" for none. See docs/train.md.
_C.TRACKER = Default("", OneOf("", "wandb", "trackio", "mlflow"))
# Ours. Project of TRACKER; "" is what the library's own variable says (WANDB_PROJECT,
# TRACKIO_PROJECT, MLFLOW_EXPERIMENT_NAME), else slowfast.
_C.TRACKER_PROJECT = ""

# Ours. Keys of your own, any names and values, sections too: USER.MY.KEY 3.
_C.USER = ConfigNode(new_allowed=True)


# To be read; for changes take `get_cfg`.
DEFAULTS = _C
DEFAULTS.freeze()


def get_cfg() -> ConfigNode:
    """An unfrozen copy of the defaults."""
    cfg = _C.clone()
    cfg.defrost()
    return cfg
