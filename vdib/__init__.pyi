# What `import vdib` offers: a line here is all that a public name needs.
from vdib.coding import rate_code as rate_code
from vdib.coding import time_code as time_code
from vdib.datasets.recording import read_recording as read_recording
from vdib.decoder import CNNDecoder as CNNDecoder
from vdib.decoder import LogisticDecoder as LogisticDecoder
from vdib.decoder import MLPDecoder as MLPDecoder
from vdib.dynamics.firing import Threshold as Threshold
from vdib.encoder import SpikeCode as SpikeCode
from vdib.encoder import SpikingEncoder as SpikingEncoder
from vdib.encoder import build_encoder as build_encoder
from vdib.estimator import LeaveOneOut as LeaveOneOut
from vdib.estimator import RelaxedBernoulli as RelaxedBernoulli
from vdib.estimator import ScoreFunction as ScoreFunction
from vdib.estimator import StraightThrough as StraightThrough
from vdib.lenet5 import load_judge as load_judge
from vdib.model import VDIB as VDIB
from vdib.noise import Noise as Noise
from vdib.prior import AutoregressivePrior as AutoregressivePrior
from vdib.prior import BernoulliPrior as BernoulliPrior
from vdib.prior import MarginalPrior as MarginalPrior
from vdib.runs.loading import load as load
from vdib.signal import Curve as Curve
from vdib.signal import Image as Image
from vdib.signal import Label as Label
from vdib.spikes import SparseSpikes as SparseSpikes
from vdib.window import BasisWindow as BasisWindow
from vdib.window import FullWindow as FullWindow
from vdib.window import RateWindow as RateWindow

__version__: str
