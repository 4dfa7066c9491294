"""Audio-visual emotion recognition with TACFN as Hugging Face models."""

# ruff: noqa: E402
__version__ = "0.1.0"

from .torchaudio_cpu import make_importable


make_importable()  # before transformers, which imports torchaudio wherever it is installed

from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, AutoModelForVideoClassification

from .configuration_tacfn import TacfnConfig
from .modeling_tacfn import TacfnModel, TacfnPreTrainedModel


AutoConfig.register("tacfn", TacfnConfig, exist_ok=True)
for auto_class in (AutoModel, AutoModelForVideoClassification, AutoModelForAudioClassification):
    auto_class.register(TacfnConfig, TacfnModel, exist_ok=True)

__all__ = ["TacfnConfig", "TacfnModel", "TacfnPreTrainedModel"]
