"""Audio-visual emotion recognition with TACFN, CFN-SR and AVT-CA as Hugging Face models."""

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
from transformers.pipelines import PIPELINE_REGISTRY  # noqa: E402

from .baselines import BaselineConfig, BaselineModel  # noqa: E402
from .configuration_avt_ca import AvtCaConfig  # noqa: E402
from .configuration_cfn_sr import CfnSrConfig  # noqa: E402
from .configuration_tacfn import TacfnConfig  # noqa: E402
from .exported_model import ExportedConfig, ExportedModel, FastestModel  # noqa: E402
from .feature_extraction_tacfn import TacfnFeatureExtractor  # noqa: E402
from .image_processing_tacfn import TacfnImageProcessor  # noqa: E402
from .modeling_avt_ca import AvtCaModel, AvtCaPreTrainedModel  # noqa: E402
from .modeling_cfn_sr import CfnSrModel, CfnSrPreTrainedModel  # noqa: E402
from .modeling_tacfn import TacfnModel, TacfnPreTrainedModel  # noqa: E402
from .pipeline_tacfn import TASK, AudioVisualEmotionPipeline  # noqa: E402
from .processing_tacfn import TacfnProcessor  # noqa: E402


for config_class, model_class in (
    (TacfnConfig, TacfnModel),
    (CfnSrConfig, CfnSrModel),
    (AvtCaConfig, AvtCaModel),
    (BaselineConfig, BaselineModel),
    (ExportedConfig, ExportedModel),
):
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    for auto_class in (AutoModel, AutoModelForVideoClassification, AutoModelForAudioClassification):
        auto_class.register(config_class, model_class, exist_ok=True)
    AutoFeatureExtractor.register(config_class, TacfnFeatureExtractor, exist_ok=True)
    AutoImageProcessor.register(config_class, slow_image_processor_class=TacfnImageProcessor, exist_ok=True)
    AutoProcessor.register(config_class, TacfnProcessor, exist_ok=True)
    # What a saved folder or repository carries, so that it loads where this package is not installed.
    if config_class not in (BaselineConfig, ExportedConfig):
        config_class.register_for_auto_class()
        model_class.register_for_auto_class("AutoModel")
PIPELINE_REGISTRY.register_pipeline(TASK, AudioVisualEmotionPipeline, pt_model=FastestModel, type="multimodal")

__all__ = [
    "AudioVisualEmotionPipeline",
    "AvtCaConfig",
    "AvtCaModel",
    "AvtCaPreTrainedModel",
    "BaselineConfig",
    "BaselineModel",
    "CfnSrConfig",
    "CfnSrModel",
    "CfnSrPreTrainedModel",
    "ExportedConfig",
    "ExportedModel",
    "TacfnConfig",
    "TacfnFeatureExtractor",
    "TacfnImageProcessor",
    "TacfnModel",
    "TacfnPreTrainedModel",
    "TacfnProcessor",
]
