"""The diffusion equations, written once for training, previews and both exports.

Everything here is a pure function of float32 tensors: images, noise and network outputs
[N, H, W, C] in normalised units (mean 0, standard deviation 1), rates that broadcast against them.
Samples that are no pictures, such as [N, T, C], take the place of images everywhere.
The things that a network may predict determine each other (DDPM, arXiv 2006.11239; velocity, arXiv
2202.00512, and of straight flows, arXiv 2209.03003).
"""

from dataclasses import dataclass

import tensorflow as tf

from ..config import PREDICTIONS
from ..errors import InputError, check_choice
from .conventions import check_conventions, check_learned_variance
from .guidance import Conditioning, Network, guided_output
from .preconditioning import network_input, preconditioned_image
from .schedules import DiscreteSchedule, EDMSchedule, FlowSchedule, Rates, Schedule
from .thresholding import dynamic_threshold

Pair = tuple[tf.Tensor, tf.Tensor]

# Schedules that have timesteps.
_COUNTED = DiscreteSchedule | FlowSchedule


def add_noise(image: tf.Tensor, noise: tf.Tensor, rates: Rates) -> tf.Tensor:
    """x_t = signal·x_0 + noise·ε (arXiv 2006.11239, equation 4)."""
    return rates.signal * image + rates.noise * noise


def training_target(
    prediction: str,
    image: tf.Tensor,
    noise: tf.Tensor,
    rates: Rates,
    *,
    straight: bool = False,
) -> tf.Tensor:
    """The output to train the network for: ε, v = signal·ε − noise·x_0, or x_0.

    Under a `straight` schedule v = ε − x_0. Raises InputError for a prediction that is not one of
    `PREDICTIONS`.
    """
    check_choice("prediction", prediction, PREDICTIONS)
    if prediction == "velocity":
        return noise - image if straight else rates.signal * noise - rates.noise * image
    return noise if prediction == "noise" else image


def split_prediction(
    prediction: str,
    output: tf.Tensor,
    noisy: tf.Tensor,
    rates: Rates,
    *,
    straight: bool = False,
) -> Pair:
    """(x̂_0, ε̂) from a network's output at x_t = `noisy`; InputError for an unknown prediction.

    `straight` as in `training_target`.
    """
    check_choice("prediction", prediction, PREDICTIONS)
    signal, noise = rates
    if prediction == "noise":
        return (noisy - noise * output) / signal, output
    if prediction == "velocity" and straight:
        return noisy - noise * output, noisy + signal * output
    if prediction == "velocity":
        return signal * noisy - noise * output, noise * noisy + signal * output
    return output, noise_between(noisy, output, rates)


def noise_between(noisy: tf.Tensor, image: tf.Tensor, rates: Rates) -> tf.Tensor:
    """ε = (x_t − signal·x_0)/noise; 0 at noise rate 0, where x_t does not depend on ε."""
    return (noisy - rates.signal * image) * tf.math.divide_no_nan(1.0, rates.noise)


@dataclass(frozen=True)
class Denoiser:
    """A network and everything that sampling needs to know about it.

    `network` takes [noisy images float32 [N, H, W, C], condition float32 [N]], with `num_classes`
    labels int64 [N], −1 for none, and then what other conditions a call has. The `conditioning`
    says what the condition is:
    the `time` in [0, 1], the `timestep` n − 1 + `first_timestep` of a discrete schedule, n = 1 … T,
    the `noise_variance` noise², the `noise_rate`, the `log_snr` ln(signal²/noise²), `sigma` =
    noise/signal, or `c_noise` = ln(sigma)/4. `pixel_mean` and `pixel_std` hold one number per
    channel, in units where pixels lie in [0, 1]. A network with a `learned_variance` puts out 2·C
    channels, of which the second half is 2·v − 1 (Improved DDPM, arXiv 2102.09672, equation 15).
    With a `guidance_range` the network takes the guidance itself, float32 [N] after the labels: it
    was trained for those from the least to the greatest. With `arrays`, samples are no pictures but
    arrays of 1 to 3 axes, [N, …, C], in units of their own: mean and standard deviation are those
    of the data, for each entry of the last axis, and there is no range to clip them to. Raises
    InputError for what does not go together (`conventions.py`).
    """

    network: Network
    schedule: Schedule
    prediction: str
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    clip: bool = True
    conditioning: str = "time"
    num_classes: int | None = None
    first_timestep: int = 1
    dynamic_threshold: float | None = None
    learned_variance: bool = False
    guidance_range: tuple[float, float] | None = None
    arrays: bool = False

    def __post_init__(self) -> None:
        if self.arrays and self.clip:
            raise InputError("clip=True: arrays have no range to clip to; expected clip=False")
        check_conventions(self.schedule, self.prediction, self.conditioning, self.first_timestep)
        if self.learned_variance:
            check_learned_variance(self.schedule)

    def __call__(
        self,
        noisy: tf.Tensor,
        time: tf.Tensor,
        conditioning: Conditioning | None = None,
        network_time: tf.Tensor | None = None,
    ) -> Pair:
        """(x̂_0, ε̂) of images [N, H, W, C] at times [N]; labels and such are the `conditioning`.

        The network is told the `network_time` [N] if that is given. With `clip`, x̂_0 is clipped to
        the range of real pixels, or scaled into it with a `dynamic_threshold`, and ε̂ follows.
        """
        image, noise, _ = self.with_variance(noisy, time, conditioning, network_time)
        return image, noise

    def with_variance(
        self,
        noisy: tf.Tensor,
        time: tf.Tensor,
        conditioning: Conditioning | None = None,
        network_time: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """(x̂_0, ε̂, v) as a call has them; v [N, H, W, C] is None unless the variance is learned."""
        each = (slice(None), *[None] * (noisy.shape.rank - 1))
        rates = self.schedule.rates(time[each])
        told = (time, rates)
        if network_time is not None:
            told = (network_time, self.schedule.rates(network_time[each]))
        condition = self._condition(*told)
        seen = self._seen(noisy, rates)
        if conditioning is None:
            output = self.network([seen, condition])
        else:
            output = guided_output(
                *(self.network, seen, condition, conditioning),
                learned_variance=self.learned_variance,
                takes_guidance=self.guidance_range is not None,
            )
        variance_fraction = None
        if self.learned_variance:
            output, bounds = tf.split(output, 2, axis=-1)
            variance_fraction = (bounds + 1.0) / 2.0
        image, noise = self._split(output, noisy, rates)
        if self.clip:
            image = self._within_range(image)
            noise = noise_between(noisy, image, rates)
        return image, noise, variance_fraction

    def _within_range(self, image: tf.Tensor) -> tf.Tensor:
        """x̂_0 in the range of real pixels."""
        if self.dynamic_threshold is None:
            return tf.clip_by_value(image, self.normalise(0.0), self.normalise(1.0))
        mean, std = tf.constant(self.pixel_mean), tf.constant(self.pixel_std)
        scaled = dynamic_threshold(2.0 * (image * std + mean) - 1.0, self.dynamic_threshold)
        return self.normalise((scaled + 1.0) / 2.0)

    def _seen(self, noisy: tf.Tensor, rates: Rates) -> tf.Tensor:
        """The noisy images as the network takes them."""
        if isinstance(self.schedule, EDMSchedule):
            return network_input(self.prediction, noisy, rates, self.schedule.sigma_data)
        return noisy

    def _split(self, output: tf.Tensor, noisy: tf.Tensor, rates: Rates) -> Pair:
        """(x̂_0, ε̂) of the network's output."""
        if isinstance(self.schedule, EDMSchedule) and self.prediction == "edm":
            image = preconditioned_image(output, noisy, rates, self.schedule.sigma_data)
            return image, noise_between(noisy, image, rates)
        straight = self.schedule.straight
        return split_prediction(self.prediction, output, noisy, rates, straight=straight)

    def _condition(self, time: tf.Tensor, rates: Rates) -> tf.Tensor:
        """The noise level as the network's condition, float32 [N]."""
        if self.conditioning == "time":
            return time
        if isinstance(self.schedule, _COUNTED) and self.conditioning == "timestep":
            timestep = self.schedule.timestep(time)
            # Never below 0, which no embedding has a row for.
            return timestep if self.first_timestep else tf.maximum(timestep - 1.0, 0.0)
        signal, noise = (rate[(slice(None), *[0] * (rate.shape.rank - 1))] for rate in rates)
        if self.conditioning == "noise_variance":
            return tf.square(noise)
        if self.conditioning == "noise_rate":
            return noise
        if self.conditioning == "sigma":
            return noise / signal
        if self.conditioning == "c_noise":
            return 0.25 * (tf.math.log(noise) - tf.math.log(signal))
        return 2.0 * (tf.math.log(signal) - tf.math.log(noise))

    def normalise(self, pixels: tf.Tensor | float) -> tf.Tensor:
        """Pixels in [0, 1] to normalised units."""
        return (pixels - tf.constant(self.pixel_mean)) / tf.constant(self.pixel_std)

    def pixels(self, image: tf.Tensor) -> tf.Tensor:
        """Normalised images to pixels, clipped to [0, 1]; arrays to their own units."""
        pixels = image * tf.constant(self.pixel_std) + tf.constant(self.pixel_mean)
        return pixels if self.arrays else tf.clip_by_value(pixels, 0.0, 1.0)


def to_uint8(pixels: tf.Tensor) -> tf.Tensor:
    """round(255·pixels) as uint8, of pixels in [0, 1]."""
    return tf.cast(tf.round(pixels * 255.0), tf.uint8)
