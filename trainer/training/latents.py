"""Training on the latents of pictures, which an autoencoder makes and draws."""

from ..config import TrainConfig
from ..quality.preview import LatentPreview
from ..run.codec import Codec
from ..run.directory import DataSummary
from .replicas import Replicas
from .step import Trainer


class LatentTrainer(Trainer):
    """A trainer of latents, which shows pictures."""

    def __init__(
        self,
        config: TrainConfig,
        data: DataSummary,
        codec: Codec,
        replicas: Replicas | None = None,
    ) -> None:
        super().__init__(config, data, replicas)
        self._codec = codec

    def preview(self) -> LatentPreview:
        """What draws the previews: pictures of latents."""
        shape = self.config.array_shape or ()
        return LatentPreview(self.denoiser, shape, self._codec.decode)
