"""The names that settings choose from, and the limits that other modules need too."""

SCHEDULES = ("cosine", "ddpm_linear", "ddpm_cosine")
PREDICTIONS = ("noise", "velocity", "image")
CONDITIONINGS = ("time", "timestep", "noise_variance", "noise_rate", "log_snr")
SOLVERS = ("ddim", "dpmpp_2m")
TIME_GRIDS = ("linear", "linspace", "quadratic", "karras")
LOSS_WEIGHTINGS = ("uniform", "velocity", "min_snr")
TIME_SAMPLINGS = ("uniform", "stratified")
LEARNING_RATE_DECAYS = ("constant", "inverse_sqrt", "cosine")
DISTRIBUTIONS = ("none", "mirrored", "multi_worker")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
CACHES = ("memory", "disk", "none")
MOST_CLASSES = 10_000
SYNTHETIC_IMAGES = 2048
