"""Every setting of a training run, checked on construction, without importing TensorFlow."""

from .checks import check_signal_rates as check_signal_rates
from .choices import *  # noqa: F403
from .network import NetworkConfig as NetworkConfig
from .train import TrainConfig as TrainConfig
