"""Audio-visual emotion recognition with TACFN as Hugging Face models."""

__version__ = "0.1.0"

from .torchaudio_cpu import make_importable


make_importable()  # before transformers, which imports torchaudio wherever it is installed

from transformers import (  # noqa: E402
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForVideoClassification,
    AutoProcessor,
)

from .baselines import BaselineConfig, BaselineModel  # noqa: E402
from .configuration_tacfn import TacfnConfig  # noqa: E402
from .feature_extraction_tacfn import TacfnFeatureExtractor  # noqa: E402
from .image_processing_tacfn import TacfnImageProcessor  # noqa: E402
from .modeling_tacfn import TacfnModel, TacfnPreTrainedModel  # noqa: E402
from .processing_tacfn import TacfnProcessor  # noqa: E402


AutoConfig.register("tacfn", TacfnConfig, exist_ok=True)
for auto_class in (AutoModel, AutoModelForVideoClassification, AutoModelForAudioClassification):
    auto_class.register(TacfnConfig, TacfnModel, exist_ok=True)
AutoFeatureExtractor.register(TacfnConfig, TacfnFeatureExtractor, exist_ok=True)
AutoImageProcessor.register(TacfnConfig, slow_image_processor_class=TacfnImageProcessor, exist_ok=True)
AutoProcessor.register(TacfnConfig, TacfnProcessor, exist_ok=True)
# The methods it is compared with, wherever this package is installed.
AutoConfig.register("tacfn_baseline", BaselineConfig, exist_ok=True)
for auto_class in (AutoModel, AutoModelForVideoClassification, AutoModelForAudioClassification):
    auto_class.register(BaselineConfig, BaselineModel, exist_ok=True)
AutoFeatureExtractor.register(BaselineConfig, TacfnFeatureExtractor, exist_ok=True)
AutoImageProcessor.register(BaselineConfig, slow_image_processor_class=TacfnImageProcessor, exist_ok=True)
AutoProcessor.register(BaselineConfig, TacfnProcessor, exist_ok=True)
# What a saved folder or repository carries, so that it loads where this package is not installed.
TacfnConfig.register_for_auto_class()
TacfnModel.register_for_auto_class("AutoModel")

__all__ = [
    "BaselineConfig",
    "BaselineModel",
    "TacfnConfig",
    "TacfnFeatureExtractor",
    "TacfnImageProcessor",
    "TacfnModel",
    "TacfnPreTrainedModel",
    "TacfnProcessor",
]
