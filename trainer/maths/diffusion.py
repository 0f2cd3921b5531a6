"""The diffusion equations, written once for training, previews and both exports.

Everything here is a pure function of float32 tensors: images, noise and network outputs
[N, H, W, C] in normalised units (mean 0, standard deviation 1), rates that broadcast against them.
With signal² + noise² = 1 the three things a network may predict determine each other (DDPM,
arXiv 2006.11239; velocity, arXiv 2202.00512).
"""

from dataclasses import dataclass

import tensorflow as tf

from ..config import CONDITIONINGS, PREDICTIONS
from ..errors import InputError, check_choice
from .guidance import Conditioning, Network, guided_output
from .schedules import DiscreteSchedule, Rates, Schedule

Pair = tuple[tf.Tensor, tf.Tensor]


def add_noise(image: tf.Tensor, noise: tf.Tensor, rates: Rates) -> tf.Tensor:
    """x_t = signal·x_0 + noise·ε (arXiv 2006.11239, equation 4)."""
    return rates.signal * image + rates.noise * noise


def training_target(prediction: str, image: tf.Tensor, noise: tf.Tensor, rates: Rates) -> tf.Tensor:
    """The output to train the network for: ε, v = signal·ε − noise·x_0, or x_0.

    Raises InputError for a prediction that is not one of `PREDICTIONS`.
    """
    check_choice("prediction", prediction, PREDICTIONS)
    if prediction == "velocity":
        return rates.signal * noise - rates.noise * image
    return noise if prediction == "noise" else image


def split_prediction(prediction: str, output: tf.Tensor, noisy: tf.Tensor, rates: Rates) -> Pair:
    """(x̂_0, ε̂) from a network's output at x_t = `noisy`; InputError for an unknown prediction."""
    check_choice("prediction", prediction, PREDICTIONS)
    signal, noise = rates
    if prediction == "noise":
        return (noisy - noise * output) / signal, output
    if prediction == "velocity":
        return signal * noisy - noise * output, noise * noisy + signal * output
    return output, noise_between(noisy, output, rates)


def noise_between(noisy: tf.Tensor, image: tf.Tensor, rates: Rates) -> tf.Tensor:
    """ε = (x_t − signal·x_0)/noise; 0 at noise rate 0, where x_t does not depend on ε."""
    return (noisy - rates.signal * image) * tf.math.divide_no_nan(1.0, rates.noise)


@dataclass(frozen=True)
class Denoiser:
    """A network and everything that sampling needs to know about it.

    `network` takes [noisy images float32 [N, H, W, C], condition float32 [N]], and with
    `num_classes` labels int64 [N] too, −1 for none. The `conditioning` says what the condition is:
    the `time` in [0, 1], the `timestep` n = 1 … T of a discrete schedule, the `noise_variance`
    noise², the `noise_rate`, or the `log_snr` ln(signal²/noise²). `pixel_mean` and `pixel_std` hold
    one number per channel, in units where pixels lie in [0, 1]. Raises InputError for an unknown
    prediction or conditioning, and for `timestep` with a continuous schedule.
    """

    network: Network
    schedule: Schedule
    prediction: str
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    clip: bool = True
    conditioning: str = "time"
    num_classes: int | None = None

    def __post_init__(self) -> None:
        check_choice("prediction", self.prediction, PREDICTIONS)
        check_choice("conditioning", self.conditioning, CONDITIONINGS)
        if self.conditioning == "timestep" and not isinstance(self.schedule, DiscreteSchedule):
            problem = "the cosine schedule's time is continuous"
            expected = "expected another conditioning, or the schedule ddpm_linear or ddpm_cosine"
            raise InputError(f"conditioning=timestep: {problem}; {expected}")

    def __call__(
        self,
        noisy: tf.Tensor,
        time: tf.Tensor,
        conditioning: Conditioning | None = None,
        network_time: tf.Tensor | None = None,
    ) -> Pair:
        """(x̂_0, ε̂) of images [N, H, W, C] at times [N]; classes need `conditioning`.

        The network is told the `network_time` [N] if that is given. With `clip`, x̂_0 is clipped to
        the range of real pixels, and ε̂ follows from the clipped x̂_0.
        """
        rates = self._rates(time)
        told = (time, rates) if network_time is None else (network_time, self._rates(network_time))
        condition = self._condition(*told)
        if conditioning is None:
            output = self.network([noisy, condition])
        else:
            output = guided_output(self.network, noisy, condition, conditioning)
        image, noise = split_prediction(self.prediction, output, noisy, rates)
        if not self.clip:
            return image, noise
        image = tf.clip_by_value(image, self.normalise(0.0), self.normalise(1.0))
        return image, noise_between(noisy, image, rates)

    def _rates(self, time: tf.Tensor) -> Rates:
        """Rates float32 [N, 1, 1, 1] at times [N]."""
        return self.schedule.rates(time[:, None, None, None])

    def _condition(self, time: tf.Tensor, rates: Rates) -> tf.Tensor:
        """The noise level as the network's condition, float32 [N]."""
        if self.conditioning == "time":
            return time
        if isinstance(self.schedule, DiscreteSchedule) and self.conditioning == "timestep":
            return self.schedule.timestep(time)
        signal, noise = (rate[:, 0, 0, 0] for rate in rates)
        if self.conditioning == "noise_variance":
            return tf.square(noise)
        if self.conditioning == "noise_rate":
            return noise
        return 2.0 * (tf.math.log(signal) - tf.math.log(noise))

    def normalise(self, pixels: tf.Tensor | float) -> tf.Tensor:
        """Pixels in [0, 1] to normalised units."""
        return (pixels - tf.constant(self.pixel_mean)) / tf.constant(self.pixel_std)

    def pixels(self, image: tf.Tensor) -> tf.Tensor:
        """Normalised images to pixels, clipped to [0, 1]."""
        pixels = image * tf.constant(self.pixel_std) + tf.constant(self.pixel_mean)
        return tf.clip_by_value(pixels, 0.0, 1.0)


def to_uint8(pixels: tf.Tensor) -> tf.Tensor:
    """round(255·pixels) as uint8, of pixels in [0, 1]."""
    return tf.cast(tf.round(pixels * 255.0), tf.uint8)
