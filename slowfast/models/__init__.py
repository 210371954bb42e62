"""Networks: `build_model(cfg)` and the table `MODELS` of what it can build."""

from slowfast.models.build import MODELS, build_model

__all__ = ["MODELS", "build_model"]
