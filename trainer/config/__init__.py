"""Every setting of a training run, checked on construction, without importing TensorFlow."""

from .choices import *  # noqa: F403
from .conditions import ConditionSpec as ConditionSpec
from .network import NetworkConfig as NetworkConfig
from .train import TrainConfig as TrainConfig
