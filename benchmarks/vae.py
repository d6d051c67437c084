"""The spiking autoencoder of `--config mnist_vae` beside an ordinary Gaussian one: a table.

    python benchmarks/vae.py --seeds 3 --workers 2

The Gaussian one has the same decoder (hidden layers of rectified units), batches, precision and
training time on one core, and as many trials, of which validation data choose. Its encoder, a layer
of as many rectified units as the spiking one has hidden neurons, sees the grey pixels themselves,
where the spiking one sees the time of one spike a pixel, in six steps.

    q(z | x) = N(m(x), s(x)^2),    p(z) = N(0, 1),    -ELBO = -log q(r | z) + KL(q(z | x) || p(z))

Bounds by several codes, binary targets and distances are those of a run (`vdib.importance`,
`vdib.fad`). Test data are read once a seed, under the settings that validation data chose. Trials
are shorter than what is measured, those of both by the same share (`--trial_share`).
"""

import argparse
import math
import multiprocessing
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from sweep import sweep
from torch import Tensor, nn

from vdib.datasets.images import ImageSet
from vdib.decoder import MLPDecoder
from vdib.fad import FAD, fad_file
from vdib.importance import binarised
from vdib.lightning_modules.choices import IMAGE_SETS
from vdib.lightning_modules.order import Order
from vdib.noise import EVALUATION, Noise
from vdib.objective import distortion
from vdib.precision import precision_for
from vdib.signal import Image
from vdib.window import FullWindow

SPIKING = [
    ["--model.lr", lr, "--model.estimator.end", end]
    for lr in ("0.002", "0.003", "0.005")
    for end in ("0.1", "0.05")
]
GAUSSIAN = [(latents, lr) for lr in (1e-3, 2e-3, 3e-3) for latents in (20, 50)]
KEYS = ("negative_elbo_nats", "negative_elbo_nats_500", "fad_published", "fad")


@dataclass(frozen=True)
class Settings:
    """Of the Gaussian autoencoder.

    Attributes:
        latents: D.
        lr: peak learning rate of Adam, which falls to zero along a cosine.
        hidden: units of the encoder's hidden layer.
        decoder: units of each of the decoder's.
        layers: of the decoder, hidden ones.
        batch: images of an update.
        dataset: digits or mnist.
    """

    latents: int
    lr: float
    hidden: int = 800
    decoder: int = 800
    layers: int = 1
    batch: int = 128
    dataset: str = "mnist"


class GaussianVAE(nn.Module):
    """Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, https://arxiv.org/abs/1312.6114.

    B images, K codes each, D latents.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.latents = settings.latents
        self.encoder = nn.Sequential(
            nn.Linear(784, settings.hidden), nn.ReLU(), nn.Linear(settings.hidden, 2 * self.latents)
        )
        sizes = settings.decoder, settings.layers
        self.decoder = MLPDecoder(FullWindow(1), self.latents, Image((28, 28)), *sizes)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels `(B, 784)` to means and log deviations `(B, D)`."""
        mean, log_std = self.encoder(x).float().chunk(2, -1)
        return mean, log_std

    def decode(self, z: Tensor) -> Any:
        """`(B, D)` to a distribution over images with batch shape `(B, 1)`."""
        return self.decoder.signal.likelihood(self.decoder.outputs(z[:, None, None]).float())

    def nats(self, x: Tensor, eps: Tensor) -> Tensor:
        """Grey cross-entropy plus KL, `(B,)`, at standard normal `eps` `(B, D)`."""
        mean, log_std = self.posterior(x)
        kl = 0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std
        return distortion(self.decode(mean + log_std.exp() * eps), x)[:, 0] + kl.sum(-1)

    def importance_nats(self, x: Tensor, r: Tensor, eps: Tensor) -> Tensor:
        """`-log 1/K sum_k p(r | z_k) p(z_k) / q(z_k | x)`, `(B,)`, at `eps` `(K, B, D)`."""
        mean, log_std = self.posterior(x)
        z = mean + log_std.exp() * eps
        log_ratio = (0.5 * (eps.square() - z.square()) + log_std).sum(-1)  # log p(z) - log q(z | x)
        cost = distortion(self.decode(z.flatten(0, 1)), r.repeat(len(eps), 1)).view(len(eps), -1)
        return math.log(len(eps)) - torch.logsumexp((log_ratio - cost).double(), 0)


def images_of(dataset: str, split: Any) -> ImageSet:
    return IMAGE_SETS[dataset].part(split)


def trained(settings: Settings, seconds: float, seed: int) -> GaussianVAE:
    """One that was trained for so long, in seconds of a core."""
    torch.manual_seed(seed)
    vae = GaussianVAE(settings)
    train = images_of(settings.dataset, "train")
    vae.decoder.start_from(vae.decoder.signal.constant(train.all().image.flatten(1)))
    optimizer = torch.optim.Adam(vae.parameters(), settings.lr)
    mixed = precision_for("cpu")[0] == "bf16-mixed"
    begun, epoch = time.process_time(), 0
    while True:
        order = torch.tensor(list(Order(len(train), seed, epoch)))
        for rows in order.split(settings.batch):
            share = (time.process_time() - begun) / seconds
            if share >= 1:
                return vae.eval()
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * 0.5 * (1 + math.cos(math.pi * share))
            x = train.__getitems__(rows.tolist()).image.flatten(1)
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                loss = vae.nats(x, torch.randn(len(x), vae.latents)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        epoch += 1


@torch.no_grad()
def validation_nats(vae: GaussianVAE, dataset: str, seed: int) -> float:
    """The negative ELBO of the validation images."""
    return _mean_nats(vae, images_of(dataset, "validation"), seed)


@torch.no_grad()
def measured(vae: GaussianVAE, dataset: str, seed: int, codes: int, drawn: int) -> dict[str, float]:
    """What a run's summary says of the spiking one, of the test images."""
    test = images_of(dataset, "test")
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for rows in torch.arange(len(test)).split(max(1, 4_000 // codes)):
        some = test.__getitems__(rows.tolist())
        x = some.image.flatten(1)
        eps = torch.randn(codes, len(x), vae.latents, generator=generator)
        r = binarised(x, Noise(seed, EVALUATION, some.id))
        total += float(vae.importance_nats(x, r, eps).sum())
    figures = {
        "negative_elbo_nats": _mean_nats(vae, test, seed),
        f"negative_elbo_nats_{codes}": total / len(test),
    }
    path = fad_file()
    if path is not None:
        z = torch.randn(drawn, vae.latents, generator=generator)
        images = torch.cat([vae.decode(some).mean[:, 0] for some in z.split(1_000)])
        images, distance = images.view(-1, 28, 28), FAD.load(path)
        figures["fad_published"] = distance.published_fad(images)
        figures["fad"] = distance.fad(images, images_of("mnist", "test").all().image)
    return figures


def _mean_nats(vae: GaussianVAE, images: ImageSet, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for rows in torch.arange(len(images)).split(1_000):
        x = images.__getitems__(rows.tolist()).image.flatten(1)
        total += float(vae.nats(x, torch.randn(len(x), vae.latents, generator=generator)).sum())
    return total / len(images)


def _one(job: tuple[Settings, float, int, tuple[int, int] | None]) -> dict[str, float]:
    """Of one training: the validation figure, or, with how many codes and images, test figures."""
    settings, seconds, seed, test = job
    torch.set_num_threads(1)
    vae = trained(settings, seconds, seed)
    if test is None:
        return {"validation": validation_nats(vae, settings.dataset, seed)}
    return measured(vae, settings.dataset, seed, *test)


def gaussian(
    trials: list[Settings],
    seconds: tuple[float, float],
    seeds: int,
    workers: int,
    codes: int,
    drawn: int,
) -> tuple[Settings, list[dict[str, float]]]:
    """The settings that validation data choose, by seed 0, and every seed's test figures.

    Args:
        trials: of which one is chosen.
        seconds: of a core, for a trial and for what is measured.
        seeds: of what is measured.
        workers: processes.
        codes: an image, of the tighter bound.
        drawn: images, for the Frechet distance.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        tried = list(pool.map(_one, [(some, seconds[0], 0, None) for some in trials]))
        nats = [figures["validation"] for figures in tried]
        for some, value in zip(trials, nats, strict=True):
            print(f"Gaussian, {some.latents} latents, lr {some.lr}: {value:.2f} nats (validation)")
        best = trials[nats.index(min(nats))]
        jobs = [(best, seconds[1], seed, (codes, drawn)) for seed in range(seeds)]
        return best, list(pool.map(_one, jobs))


def spiking(
    common: list[str],
    trials: list[list[str]],
    epochs: tuple[int, int],
    seeds: int,
    workers: int,
    runs: Path,
) -> list[dict[str, Any]]:
    """Every seed's summary under the settings that validation data choose, by seed 0.

    Args:
        common: settings of all runs.
        trials: further settings, of which one is chosen.
        epochs: of a trial, and of what is measured.
        seeds: of what is measured.
        workers: processes.
        runs: folder of the runs.
    """
    quick = ["--model.importance_codes", "0", "--model.drawn_images", "0"]
    short, whole = (["--trainer.max_epochs", str(number)] for number in epochs)
    jobs = {runs / f"trial-{i}": [*common, *some, *short, *quick] for i, some in enumerate(trials)}
    tried = [done["validation_loss_nats"] for done in sweep(jobs, workers).values()]
    for some, value in zip(trials, tried, strict=True):
        print(f"spiking, {' '.join(some)}: {value:.2f} nats (validation)")
    best = trials[tried.index(min(tried))]
    best = [*common, *best, *whole]
    jobs = {runs / f"s{seed}": [*best, "--seed", str(seed)] for seed in range(seeds)}
    return list(sweep(jobs, workers).values())


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=len(SPIKING), help="of each (%(default)s)")
    parser.add_argument(
        "--trial_share", type=float, default=0.2, help="length of a trial (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=50, help="of the spiking (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, help="of a core, for a Gaussian one; else the mean of the spiking"
    )
    parser.add_argument("--drawn", type=int, default=10_000, help="images, for the FAD")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("rest", nargs="*", help="more settings of `vdib.fit`")
    args = parser.parse_args(words)
    common = ["--config", "mnist_vae", "--model.drawn_images", str(args.drawn), *args.rest]
    epochs = max(1, round(args.trial_share * args.epochs)), args.epochs
    folder = args.runs / "mnist_vae_table"
    found = spiking(common, SPIKING[: args.trials], epochs, args.seeds, args.workers, folder)
    seconds = args.seconds or statistics.mean(one["train_seconds"] for one in found)
    lengths = (seconds * epochs[0] / epochs[1], seconds)
    trials = [Settings(latents, lr) for latents, lr in GAUSSIAN[: args.trials]]
    best, others = gaussian(trials, lengths, args.seeds, args.workers, 500, args.drawn)
    print(f"\n{seconds:.0f} s of training each; Gaussian: {asdict(best)}\n")
    print(f"| autoencoder | {' | '.join(KEYS)} |\n|{' --- |' * (len(KEYS) + 1)}")
    for name, rows in (("spiking", found), ("Gaussian", others)):
        print(f"| {name} | {' | '.join(_cell(rows, key) for key in KEYS)} |")


def _cell(rows: list[dict[str, Any]], key: str) -> str:
    if key not in rows[0]:
        return "-"
    values = [row[key] for row in rows]
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.2f} ± {spread:.2f}"


if __name__ == "__main__":
    main()
