"""Every setting of a training run, checked on construction, without importing TensorFlow."""

from .arrays import OF_PICTURES as OF_PICTURES
from .arrays import refuse_of_pictures as refuse_of_pictures
from .choices import *  # noqa: F403
from .conditions import ConditionSpec as ConditionSpec
from .latents import levels_of as levels_of
from .network import NetworkConfig as NetworkConfig
from .train import TrainConfig as TrainConfig
