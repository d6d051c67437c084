"""The experiments and the data they take, as classes that a config may name."""

from typing import Any

from vdib.lightning_modules.data_module import DataModule
from vdib.lightning_modules.naturalisation.event_data import EVENT_DATA
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.predictive_coding.data import BlobData
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.lightning_modules.sequences.module import SequenceModule
from vdib.lightning_modules.sequences.sine_data import SineData
from vdib.lightning_modules.sequences.speech_data import SpeechData
from vdib.lightning_modules.sequences.text_data import TextData
from vdib.lightning_modules.vdib_module import VDIBModule

EXPERIMENTS: list[type[VDIBModule]] = [NaturalisationModule, PredictiveCodingModule, SequenceModule]
DATA: list[type[DataModule[Any]]] = [
    ImageData,
    *EVENT_DATA.values(),
    BlobData,
    SineData,
    TextData,
    SpeechData,
]
