"""Every setting of a training run, checked on construction, without importing TensorFlow."""

from .checks import check_signal_rates as check_signal_rates
from .choices import CACHES as CACHES
from .choices import CONDITIONINGS as CONDITIONINGS
from .choices import DISTRIBUTIONS as DISTRIBUTIONS
from .choices import LEARNING_RATE_DECAYS as LEARNING_RATE_DECAYS
from .choices import LOSS_WEIGHTINGS as LOSS_WEIGHTINGS
from .choices import MOST_CLASSES as MOST_CLASSES
from .choices import PRECISIONS as PRECISIONS
from .choices import PREDICTIONS as PREDICTIONS
from .choices import SCHEDULES as SCHEDULES
from .choices import SOLVERS as SOLVERS
from .choices import SYNTHETIC_IMAGES as SYNTHETIC_IMAGES
from .choices import TIME_GRIDS as TIME_GRIDS
from .choices import TIME_SAMPLINGS as TIME_SAMPLINGS
from .network import NetworkConfig as NetworkConfig
from .train import TrainConfig as TrainConfig
