# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What a model card says of corpora and networks and no results file holds: licences, sources, citations, differences."""

from collections.abc import Callable
from dataclasses import dataclass


ACTED = "The clips are acted: a score is agreement with an actor's instruction, not knowledge of what a person feels."


@dataclass(frozen=True)
class CorpusFacts:
    """
    A corpus, as a card of weights trained on it speaks of it.

    Args:
        title (`str`): its name, for people.
        about (`str`): a sentence on what it is.
        source (`str`): where it comes from and who describes it, in Markdown.
        license (`str`): the Hub's name for the licence of the weights.
        license_text (`str`): a sentence on that licence.
        license_name, license_link (`str`, *optional*): of a licence that the Hub has no name for.
        dataset (`str`, *optional*): what the metadata call it; none for what is made on the spot or at home.
        language (`str`, *optional*): ISO 639-1 code of what is spoken.
        caution (`str`): what its recordings cannot tell.
        sex_of (`Callable`, *optional*): the sex of a speaker from his name in the corpus, where the name tells it.
    """

    title: str
    about: str
    source: str
    license: str
    license_text: str
    license_name: str | None = None
    license_link: str | None = None
    dataset: str | None = None
    language: str | None = None
    caution: str = ACTED
    sex_of: Callable[[str], str] | None = None


def _even_is_female(speaker: str) -> str:
    if not speaker.isdecimal():
        return "not known"
    return "male" if int(speaker) % 2 else "female"


def _last_letter(speaker: str) -> str:
    return {"F": "female", "M": "male"}.get(speaker[-1:], "not known")


_RAVDESS = {
    "source": "[Zenodo 1188976](https://zenodo.org/records/1188976), "
    "[Livingstone & Russo 2018](https://doi.org/10.1371/journal.pone.0196391)",
    "license": "cc-by-nc-sa-4.0",
    "license_text": "RAVDESS is CC BY-NC-SA 4.0, and so are these weights: no commercial use, and what is made of them is shared "
    "alike.",
    "dataset": "ravdess",
    "language": "en",
    "sex_of": _even_is_female,
}
_IEMOCAP = {
    "dataset": "iemocap",
    "license": "other",
    "license_name": "iemocap",
    "license_link": "https://sail.usc.edu/iemocap/iemocap_release.htm",
    "license_text": "IEMOCAP is given to researchers on request, for research only and not to be passed on; whether weights may "
    "be, its licence decides.",
    "language": "en",
}
_MULTIMODAL_OPINIONS = {
    "license": "other",
    "license_text": "Labels and features are for research; the videos belong to their makers.",
    "language": "en",
    "caution": "The clips are opinions that people chose to publish about films and products, labelled by strangers who "
    "watched them. A video counts as a speaker, so the same person may be on both sides of a split.",
}
CORPORA = {
    "ravdess": CorpusFacts(
        title="RAVDESS",
        about="24 professional actors, North American accent, say two sentences in 8 emotions, filmed from the front in a studio.",
        **_RAVDESS,
    ),
    "ravdess_au": CorpusFacts(
        title="RAVDESS, sound and action units",
        about="The sound of RAVDESS speech clips, and OpenFace's measurements of the face, averaged over each clip. No picture.",
        **_RAVDESS
        | {
            "source": _RAVDESS["source"]
            + "; action units: [Luna-Jiménez et al. 2022](https://doi.org/10.3390/app12010327)"
        },
    ),
    "crema_d": CorpusFacts(
        title="CREMA-D",
        about="91 actors say twelve sentences in 6 emotions.",
        source="[its repository](https://github.com/CheyneyComputerScience/CREMA-D), "
        "[Cao et al. 2014](https://doi.org/10.1109/TAFFC.2014.2336244)",
        dataset="crema_d",
        license="odbl",
        license_text="CREMA-D is under the Open Database Licence 1.0, its contents under the Database Contents Licence 1.0; "
        "these weights are passed on under the same terms.",
        language="en",
    ),
    "iemocap": CorpusFacts(
        title="IEMOCAP",
        about="Ten actors in five sessions of two play and improvise scenes.",
        source="[its page](https://sail.usc.edu/iemocap/), [Busso et al. 2008](https://doi.org/10.1007/s10579-008-9076-6)",
        sex_of=_last_letter,
        **_IEMOCAP,
    ),
    "iemocap_words": CorpusFacts(
        title="IEMOCAP, word by word",
        about="Word-level text, sound and facial features of IEMOCAP in four yes/no questions.",
        source="[MulT's files](https://github.com/yaohungt/Multimodal-Transformer), "
        "[Tsai et al. 2019](https://arxiv.org/abs/1906.00295), [Busso et al. 2008](https://doi.org/10.1007/s10579-008-9076-6)",
        **_IEMOCAP,
    ),
    "cmu_mosei": CorpusFacts(
        title="CMU-MOSEI",
        about="YouTube monologues as word-level text, sound and facial features.",
        source="[Zadeh et al. 2018](https://aclanthology.org/P18-1208/)",
        dataset="cmu_mosei",
        license_name="cmu-mosei",
        license_link="http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/",
        **_MULTIMODAL_OPINIONS,
    ),
    "cmu_mosi": CorpusFacts(
        title="CMU-MOSI",
        about="93 YouTube monologues as word-level text, sound and facial features.",
        source="[Zadeh et al. 2016](https://arxiv.org/abs/1606.06259)",
        dataset="cmu_mosi",
        license_name="cmu-mosi",
        license_link="http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/",
        **_MULTIMODAL_OPINIONS,
    ),
    "synthetic": CorpusFacts(
        title="the synthetic corpus",
        about="Drawn faces and synthesised voices, made by this package.",
        source="`dataset_scripts/synthetic.py`; CC0-1.0",
        license="apache-2.0",
        license_text="No recording of a person went into these weights; they are Apache-2.0, as the code.",
        caution="The clips are drawings and tones: a score says that the network learns, and nothing about people.",
        sex_of=_even_is_female,
    ),
}


def corpus_facts(name: str | None) -> CorpusFacts:
    """What is known of a corpus; of one's own folder, or of an unknown one, that nothing is."""
    if name in CORPORA:
        return CORPORA[name]
    unknown = "The licence of these weights is not known: it depends on the recordings that they were trained on"
    caution = "Whether the clips are acted, and who was recorded, is not recorded with the weights."
    if name is None:
        return CorpusFacts(
            "an unknown corpus", "What these weights were trained on is not recorded.", "not known", "unknown", f"{unknown}.",
            caution=caution,
        )  # fmt: skip
    title = "a folder of one's own clips" if name == "folder" else f"`{name}`"
    return CorpusFacts(
        title,
        "What it holds is not recorded with the weights.",
        "not known",
        "unknown",
        f"{unknown}. Whoever publishes them has to say it.",
        caution=caution,
    )


@dataclass(frozen=True)
class NetworkFacts:
    """A network: its name, its paper, and in what it and its training here differ from that, whatever the configuration."""

    title: str
    paper: str
    about: str
    differences: tuple[str, ...]
    of_training: tuple[str, ...]
    citation: str


_ANY_INPUT = (
    "Any length, any number of frames, padding and absent inputs are honoured by masks, which the paper does not have."
)

NETWORKS = {
    "tacfn": NetworkFacts(
        title="TACFN",
        paper="[Liu et al. 2023](https://arxiv.org/abs/2505.06536)",
        about="a modality selects its own useful features by self-attention, selected and target features are spliced into a fused "
        "weight vector, and that reinforces the target, with a residual",
        differences=(
            "The paper's equations could not be read and its repository holds no TACFN code: the formulas follow its abstract and "
            "its published sizes, and are ours.",
            _ANY_INPUT,
        ),
        of_training=(
            "Split, optimiser and number of epochs are not in what could be read of the paper; those above are ours.",
        ),
        citation="""@article{liu2023tacfn,
  title   = {TACFN: Transformer-Based Adaptive Cross-Modal Fusion Network for Multimodal Emotion Recognition},
  author  = {Liu, Feng and Fu, Ziwang and Wang, Yunlong and Zheng, Qijian},
  journal = {CAAI Artificial Intelligence Research},
  volume  = {2},
  year    = {2023},
  url     = {https://arxiv.org/abs/2505.06536}
}""",
    ),
    "cfn_sr": NetworkFacts(
        title="CFN-SR",
        paper="[Fu et al. 2021](https://arxiv.org/abs/2111.02172)",
        about="a causal self-attention encoder reads the sound, its last step weighs the positions of the video map, with a residual",
        differences=(
            "The released code adds up the weight maps of all clips of a batch, so that a clip's answer depends on its neighbours; "
            "here each clip is judged by itself.",
            "The released code hears seconds 0.5 to 2.95 of a clip and sees all of it; here sound and pictures cover the same span.",
            _ANY_INPUT,
        ),
        of_training=(
            "The released code chooses the epoch by the clips that it tests; here other speakers choose it, or it is fixed before.",
        ),
        citation="""@article{fu2021cfnsr,
  title   = {A cross-modal fusion network based on self-attention and residual structure for multimodal emotion recognition},
  author  = {Fu, Ziwang and Liu, Feng and Wang, Hanyang and Qi, Jiayin and Fu, Xiangling and Zhou, Aimin and Li, Zhibin},
  journal = {arXiv preprint arXiv:2111.02172},
  year    = {2021},
  url     = {https://arxiv.org/abs/2111.02172}
}""",
    ),
    "avt_ca": NetworkFacts(
        title="AVT-CA",
        paper="[Venkatraman et al. 2024](https://arxiv.org/abs/2407.18552)",
        about="EfficientFace reads frames and a 1-D CNN the sound; each looks at the other in an intermediate Transformer fusion and "
        "in cross-attention",
        differences=(
            "The default is the network that the paper describes and draws; its public code builds another one "
            "(`AvtCaConfig.released()`). Where the paper's text could not be read, both follow the code.",
            _ANY_INPUT,
        ),
        of_training=(
            "The published scores are of random splits, with the same people on both sides; they are not comparable with "
            "speaker-independent ones.",
        ),
        citation="""@article{venkatraman2024avtca,
  title   = {Multimodal Emotion Recognition using Audio-Video Transformer Fusion with Cross Attention},
  author  = {Venkatraman, Shravan and Dhanith, Joe and Sharma, Vigya and Malarvannan, Santhosh},
  journal = {arXiv preprint arXiv:2407.18552},
  year    = {2024},
  url     = {https://arxiv.org/abs/2407.18552}
}""",
    ),
}
_FUSION_PAPERS = {
    "averaging": "the mean of a classifier per modality",
    "multiplication": "the product of a classifier per modality",
    "multiplicative": "[Liu et al. 2018](https://arxiv.org/abs/1805.11730)",
    "concatenation": "concatenation and a classifier",
    "mcbp": "[Fukui et al. 2016](https://arxiv.org/abs/1606.01847)",
    "mmtm": "[Vaezi Joze et al. 2020](https://arxiv.org/abs/1911.08670)",
    "msaf": "[Su et al. 2020](https://arxiv.org/abs/2012.07175)",
    "mult": "[Tsai et al. 2019](https://arxiv.org/abs/1906.00295)",
    "cfn_sr": "[Fu et al. 2021](https://arxiv.org/abs/2111.02172)",
}


def network_facts(config) -> NetworkFacts:
    """What a card says of the network that a configuration describes."""
    if config.model_type != "tacfn_baseline":
        return NETWORKS[config.model_type]
    tacfn = NETWORKS["tacfn"]
    return NetworkFacts(
        title=f"Baseline `{config.fusion}`",
        paper=_FUSION_PAPERS[config.fusion],
        about=f"a method that TACFN ({tacfn.paper}) is compared with, on TACFN's own encoders, so that only the fusion differs",
        differences=(
            "Encoders, readout and initialisation are TACFN's, not those of the method's own paper.",
            _ANY_INPUT,
        ),
        of_training=(),
        citation=tacfn.citation,
    )


__all__ = ["CORPORA", "NETWORKS", "CorpusFacts", "NetworkFacts", "corpus_facts", "network_facts"]
