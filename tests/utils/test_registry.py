import pytest

from slowfast.utils.registry import Registry


def test_unknown_name_lists_what_is_allowed():
    registry = Registry("MODEL.MODEL_NAME")
    registry.register("X3D")(lambda cfg: None)
    with pytest.raises(ValueError, match=r"MODEL.MODEL_NAME: 'X4D' is not one of \['X3D'\]"):
        registry.get("X4D")


def test_a_name_can_be_taken_once():
    registry = Registry("MODEL.MODEL_NAME")
    registry.register("X3D")(lambda cfg: None)
    with pytest.raises(AssertionError, match="twice"):
        registry.register("X3D")(lambda cfg: None)
