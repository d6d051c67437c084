"""What a run that makes natural signals of spikes draws: what was decoded, a code, all codes.

Legend: B batch, T steps, N_y readout neurons, H W pixels of an image, D values of a vector.
"""

from matplotlib.figure import Figure
from torch import Tensor

from vdib.decoder import Decoder, WindowDecoder
from vdib.encoder import SpikeCode
from vdib.figures.codes import tsne
from vdib.figures.images import reconstructions
from vdib.figures.spikes import raster
from vdib.figures.vectors import scatter
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.verdicts import Verdicts
from vdib.signal import Curve, Label
from vdib.sparse import SparseSpikes
from vdib.window import recent

SHOWN = 20
"""Images, of the first examples."""


def draw(
    decoder: Decoder,
    batch: SpikeBatch,
    spikes: Tensor,
    natural: Tensor,
    first: SpikeCode,
    judged: Tensor | None,
    verdicts: Verdicts | None = None,
) -> dict[str, Figure]:
    """The figures of some examples, by name.

    Args:
        decoder: of the codes.
        batch: the examples.
        spikes: their codes, `(B, T, N_y)`.
        natural: what they are decoded to: images `(B, H, W)`, vectors `(B, D)`, or labels and the
            probability of each, `(B, 2)`.
        first: the first code, with its hidden spikes.
        judged: classes of the first `SHOWN` images, where there is a judge.
        verdicts: on all test examples, where they have been tested; of the batch by default.
    """
    signal, target, x = decoder.signal, batch.target.cpu(), batch.spikes[:1]
    dense = x.dense() if isinstance(x, SparseSpikes) else x
    hidden = first.hidden[-1][0].flatten(1).cpu() if first.hidden else None
    figures = {"raster": raster(dense[0].flatten(1).cpu(), first.spikes[0].cpu(), hidden)}
    features = spikes.sum(1)
    if isinstance(decoder, WindowDecoder):
        features = decoder.window(recent(spikes, decoder.window.length)).flatten(1)
    figures["code_tsne"] = tsne(features.cpu(), batch.label.cpu())
    if isinstance(signal, Label):
        verdicts = verdicts or Verdicts(signal)
        if not verdicts.bins.any():
            verdicts.add(natural[:, 0].long(), natural[:, 1], target)
        figures |= verdicts.figures()
    elif isinstance(signal, Curve):
        figures["decoded"] = scatter(natural, target)
    else:
        images = natural[:SHOWN]
        figures["naturalised"] = reconstructions(
            target[:SHOWN].view_as(images),
            images,
            batch.label[:SHOWN].cpu(),
            None if judged is None else judged.cpu(),
            max_images=SHOWN,
        )
    return figures
