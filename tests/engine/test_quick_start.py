import subprocess
import sys

import pytest

CODE = """
import sys
from slowfast.config.defaults import get_cfg
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.complexity import build_complexity
from slowfast.models.fold import fold_batch_norm
from slowfast.runtime.device import set_arithmetic
from slowfast.solver.optimizer import build_optimizer

cfg = get_cfg()
cfg.merge_from_list(["MODEL.MODEL_NAME", "X3D", "DATA.INPUT_CHANNEL_NUM", [3]])
cfg.merge_from_list(["RESNET.TRANS_FUNC", "x3d_transform", "X3D.DEPTH_FACTOR", 0.5])
set_arithmetic(has_tf32=False, is_deterministic=False)
build_complexity(cfg)
model = build_model(cfg)
fold_batch_norm(model, *build_meta_inputs(cfg, 64))
optimizer = build_optimizer(cfg, model)
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
assert not {"sympy", "torch._dynamo"} & set(sys.modules)
"""


@pytest.mark.slow
def test_counting_folding_and_an_optimizer_import_no_compiler():
    subprocess.run([sys.executable, "-c", CODE], check=True)
