"""benchmarks/vae.py: the Gaussian autoencoder against PyTorch's distributions, and its table."""

import itertools
import math

import pytest
import torch
from test_benchmarks import script, setting  # noqa: F401  # a fixture
from torch.distributions import Bernoulli, Normal, kl_divergence

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def small(script):  # noqa: F811
    """The script, and an autoencoder of weights large enough to matter."""
    vae = script("vae")
    torch.manual_seed(0)
    made = vae.GaussianVAE(vae.Settings(3, 1e-3, hidden=5, decoder=4, layers=2, dataset="digits"))
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return vae, made.requires_grad_(False)


def by_hand(vae, x):
    mean, log_std = vae.encoder(x).chunk(2, -1)
    return Normal(mean, log_std.exp()), Normal(torch.zeros(3), torch.ones(3))


def test_its_bounds_are_those_of_its_distributions(small):
    _, vae = small
    x, eps = torch.rand(4, 784), torch.randn(6, 4, 3)
    posterior, prior = by_hand(vae, x)
    z = posterior.mean + posterior.stddev * eps[0]
    decoder = vae.decoder
    hidden = torch.relu(decoder.deeper[0](torch.relu(decoder.hidden(z))))
    p = torch.sigmoid(decoder.head(hidden))
    grey = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1)
    expected = grey + kl_divergence(posterior, prior).sum(1)
    torch.testing.assert_close(vae.nats(x, eps[0]), expected)
    # With several codes, of a binary image.
    r = (x > 0.5).float()
    log_w = []
    for some in eps:
        z = posterior.mean + posterior.stddev * some
        images = Bernoulli(logits=vae.decode(z).base_dist.logits[:, 0])
        log_w.append(images.log_prob(r).sum(1) + (prior.log_prob(z) - posterior.log_prob(z)).sum(1))
    bound = math.log(6) - torch.logsumexp(torch.stack(log_w).double(), 0)
    torch.testing.assert_close(vae.importance_nats(x, r, eps), bound, rtol=1e-4, atol=1e-3)


def test_training_lowers_the_bound_and_test_figures_are_of_test_images(small, monkeypatch):
    vae, _ = small
    clock = itertools.count()  # a second an update, however busy the machine is
    monkeypatch.setattr(vae.time, "process_time", lambda: next(clock))
    settings = vae.Settings(3, 1e-2, hidden=20, decoder=20, dataset="digits")
    after = vae.trained(settings, 60, 0)
    untrained = vae.validation_nats(vae.trained(settings, 1e-6, 0), "digits", 0)
    assert vae.validation_nats(after, "digits", 0) < 0.95 * untrained
    found = vae.measured(after, "digits", 0, codes=5, drawn=200)
    assert found["negative_elbo_nats_5"] < found["negative_elbo_nats"]
    assert found.keys() - {"fad", "fad_published"} == {"negative_elbo_nats", "negative_elbo_nats_5"}


def test_the_table_chooses_on_validation_data(script, monkeypatch, capsys):  # noqa: F811
    vae = script("vae")
    asked = []

    def sweep(jobs, workers):
        found = {}
        for folder, args in jobs.items():
            lr, seed = float(setting(args, "model.lr", "0")), float(setting(args, "seed", "0"))
            epochs = setting(args, "trainer.max_epochs", "?")
            asked.append((folder.name, lr, epochs))
            # On test data a rate of 0.005 would be best, on validation data 0.003 is.
            loss = {"validation_loss_nats": 100 + 1e3 * abs(lr - 0.003), "train_seconds": 7.0}
            found[folder] = loss | {"negative_elbo_nats": 90 + seed - lr, "fad": 3.0}
        return found

    trials = []

    def one(job):
        settings, seconds, seed, test = job
        trials.append((settings.latents, settings.lr, seconds, seed, test))
        if test is None:
            return {"validation": 100 + abs(settings.latents - 50) + 1e3 * abs(settings.lr - 2e-3)}
        return {"negative_elbo_nats": 95.0 + 2 * seed, "fad_published": 12.0}

    class Here:
        """A pool that computes in this process."""

        def __init__(self, *args, **settings):
            self.map = map

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(vae, "sweep", sweep)
    monkeypatch.setattr(vae, "_one", one)
    monkeypatch.setattr(vae, "ProcessPoolExecutor", Here)
    vae.main(["--seeds", "2"])
    assert len(vae.SPIKING) == len(vae.GAUSSIAN) == 6
    assert [name for name, *_ in asked] == [*(f"trial-{i}" for i in range(6)), "s0", "s1"]
    assert {tuple(rest) for name, *rest in asked if name in ("s0", "s1")} == {(0.003, "50")}
    assert {epochs for _, _, epochs in asked[:6]} == {"10"}  # a fifth, and so below
    assert [trial[2:] for trial in trials[:6]] == [(pytest.approx(1.4), 0, None)] * 6
    chosen = [(50, 2e-3, 7.0, seed, (500, 10_000)) for seed in range(2)]
    assert trials[6:] == chosen
    printed = capsys.readouterr().out
    assert "| spiking | 90.50 ± 0.71 | - | - | 3.00 ± 0.00 |" in printed
    assert "| Gaussian | 96.00 ± 1.41 | - | 12.00 ± 0.00 | - |" in printed
