"""Sequences that are decoded at every step: curves, texts, and spoken digits."""

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import sequences as make
import torch

import vdib
from vdib import evaluate, fit
from vdib.datasets import speech, text
from vdib.datasets.sine import curve, events
from vdib.datasets.word_vectors import train_vectors
from vdib.figures.decoded_curve import curve_over_training
from vdib.lightning_modules.sequences.module import SequenceModule
from vdib.lightning_modules.sequences.sine_data import SineData
from vdib.lightning_modules.sequences.speech_data import SpeechData
from vdib.lightning_modules.sequences.text_data import TextData
from vdib.noise import EVALUATION, Noise
from vdib.runs.sampling import draw
from vdib.sample import main as sample

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("VDIB_DATA", str(tmp_path / "data"))


# --- the curve --------------------------------------------------------------------------------


def test_the_curve_is_the_published_one():
    values = curve(100, torch.tensor([0.0, 1.2]))
    for row, phase in zip(values, (0.0, 1.2), strict=True):
        x = [2 * math.pi * t / 100 + phase for t in range(100)]
        expected = [0.5 * math.sin(3 * v) + 0.5 * math.sin(6 * v) + 1 for v in x]
        torch.testing.assert_close(row, torch.tensor(expected), atol=1e-5, rtol=0)
    assert 0 <= values.min() < values.max() <= 2


def test_on_inputs_fire_as_the_curve_is_high_and_off_inputs_as_it_is_low():
    level = torch.tensor([[0.4, 1.0, 1.7]]).expand(4_000, 3)
    fired = events(level, 6, Noise(0, 0, torch.arange(4_000))).mean(0)
    p = torch.tensor([0.2, 0.5, 0.85])
    expected = torch.stack([p, p, p, 1 - p, 1 - p, 1 - p], 1)
    assert (fired - expected).abs().max() < 0.04  # five standard deviations of 4,000 draws
    for bad in (1, 5):
        with pytest.raises(ValueError, match="expected an even number"):
            events(level, bad, Noise(0, 0, torch.arange(4_000)))


def test_events_are_fresh_in_every_step_and_every_split():
    data = SineData(num_steps=20, num_train=4, num_validation=4, num_test=4)
    some = data.split("train").__getitems__([0, 1, 2, 3])
    spikes = [data.code(some, step).spikes for step in (0, 1, EVALUATION)]
    spikes += [data.examples(split, 4).spikes for split in ("validation", "test")]
    assert len({part.numpy().tobytes() for part in spikes}) == 5
    assert torch.equal(data.code(some, 0).target, data.code(some, 1).target)  # a fixed phase
    free = SineData(phase="random", num_steps=20, num_train=4)
    phases = free.examples("train", 4).target[:, 0, 0]
    assert len(phases.unique()) == 4


# --- texts ------------------------------------------------------------------------------------


def test_a_book_is_read_without_what_its_publisher_wrote():
    read = text.read_text(Path(make.write_text()))
    assert read.startswith("alice was beginning")
    assert read.endswith("reading.")
    Path("plain.txt").write_text("Just *** this\n")
    assert text.read_text(Path("plain.txt")) == "just *** this"


def test_texts_are_split_in_order_and_know_only_the_training_part():
    whole = "aabc" + "xa" + "bz"
    split = text.Text.of(whole, (4, 2, 2), "character", 1)
    assert split.parts == ("aabc", "xa", "bz")
    assert split.vocabulary == [text.UNKNOWN, "a", "b", "c"]
    assert split.sequence.tolist() == [1, 1, 2, 3, 0, 1, 2, 0]
    assert split.decode([1, 2, 3]) == "abc"
    shorter = text.Text.of(whole, (40, 20, 20), "character", 1)
    assert shorter.parts == ("aabc", "xa", "bz")  # in the same proportions


def test_words_that_are_rare_are_one_symbol():
    split = text.Text.of("the cat, the dog. the cat! " + "the owl", (27, 4, 3), "word", 2)
    assert split.vocabulary == [text.UNKNOWN, "the", "cat"]
    assert split.encode("The dog the CAT").tolist() == [1, 0, 1, 2]
    assert split.decode([1, 2, 1]) == "the cat the"


@pytest.mark.parametrize(("unit", "steps", "context"), [("character", 20, 8), ("word", 6, 3)])
def test_every_symbol_of_a_part_is_foretold_once_and_from_its_past(unit, steps, context):
    path = make.write_text(times=20)
    sizes = {"num_train": 1_000, "num_validation": 400, "num_test": 400}
    data = TextData(path, unit, num_steps=steps, unscored=context, vector_size=3, **sizes)
    train, validation, test = data.text.lengths
    begin = {"validation": train, "test": train + validation}
    for split, count in (("validation", validation), ("test", test)):
        starts = data.split(split).starts
        targets = data.targets(split)[:, context:].flatten()
        expected = data.text.sequence[begin[split] :][: len(targets)]
        assert torch.equal(targets, expected)
        assert 0 <= count - len(targets) < steps - context
        inputs = data.examples(split, 1).spikes[0]
        before = data.text.sequence[starts[0] : starts[0] + steps]
        assert torch.equal(inputs, data.vectors[before])  # what comes next is never seen
        assert starts[0] + context + 1 == begin[split]
    some = data.split("train").__getitems__(range(len(data.split("train"))))
    places = [data.code(some, step) for step in range(30)]
    assert len({batch.target.numpy().tobytes() for batch in places}) == 30  # elsewhere every time
    known = {part.numpy().tobytes() for part in data.text.sequence[:train].unfold(0, steps, 1)}
    shown = {row.numpy().tobytes() for batch in places for row in batch.target}
    assert shown <= known  # no held-out symbol


def test_characters_are_one_hot():
    data = TextData(make.write_text(times=20), num_steps=20, unscored=8)
    batch = data.examples("train", 2)
    assert batch.spikes.shape == (2, 20, len(data.text.vocabulary))
    assert torch.equal(batch.spikes.argmax(-1)[:, 1:], batch.target[:, :-1])
    assert torch.equal(batch.spikes.sum(-1), torch.ones(2, 20))


def test_another_text_is_not_that_of_a_run():
    path = make.write_text(times=20)
    checksum = TextData(path, num_steps=20, unscored=8).found["checksum"]
    TextData(path, num_steps=20, unscored=8, checksum=checksum)
    make.write_text(times=21)
    with pytest.raises(ValueError, match="is not the text of this run: its checksum is another"):
        TextData(path, num_steps=20, unscored=8, checksum=checksum)


def test_words_of_like_contexts_lie_near_each_other():
    """Two words that stand in the same places, among others that do not."""
    generator = torch.Generator().manual_seed(0)
    animal = torch.randint(2, (400,), generator=generator)  # 0 or 1: the same contexts
    other = torch.randint(6, 9, (400,), generator=generator)
    two, three, four, five = (torch.full((400,), i) for i in (2, 3, 4, 5))
    words = torch.stack([two, animal, three, four, other, five], 1).flatten()
    vectors = train_vectors(words, 9, size=8, window=1, epochs=5)
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    near = unit @ unit.T
    assert near[0, 1] > 0.8
    assert near[0, 6:].max() < 0
    torch.testing.assert_close(vectors.std(0), torch.ones(8))
    assert torch.equal(vectors, train_vectors(words, 9, size=8, window=1, epochs=5))


# --- spoken digits ----------------------------------------------------------------------------


def test_takes_are_split_as_the_data_set_says_and_speakers_may_be_left_out():
    root = make.write_speech()
    found = speech.find_recordings(root)

    def of(split, left_out=()):
        return {(found[i].speaker, found[i].take) for i in speech.chosen(found, split, left_out)}

    assert of("test") == {("ann", 0), ("bob", 0)}
    assert of("validation") == {("ann", 5), ("bob", 5)}
    assert of("train") == {(who, take) for who in ("ann", "bob") for take in (10, 11)}
    assert of("test", ["bob"]) == {("bob", take) for take in (0, 5, 10, 11)}
    assert of("train", ["bob"]) == {("ann", 10), ("ann", 11)}
    with pytest.raises(ValueError, match="left_out: got eve, expected of ann, bob"):
        of("test", ["eve"])


def test_a_tone_is_loudest_in_its_band_however_loud_it_is():
    pytest.importorskip("librosa")
    seconds = np.arange(4_000) / 8_000
    tone = np.sin(2 * np.pi * 1_000 * seconds).astype(np.float32)
    tone[2_000:] = np.sin(2 * np.pi * 3_000 * seconds[2_000:])
    level = speech.log_mel(tone, 8, 20)
    assert level.shape == (8, 20)

    # The mel scale of Slaney (1998): linear up to 1 kHz at 200 / 3 Hz a mel, logarithmic above.
    def mel(f):
        return f * 3 / 200 if f < 1_000 else 15 + 27 * math.log(f / 1_000) / math.log(6.4)

    low, high = mel(60), mel(4_000)
    for step, frequency in ((1, 1_000), (6, 3_000)):
        band = (mel(frequency) - low) / (high - low) * 21 - 1
        assert abs(int(level[step].argmax()) - band) <= 0.6
    noise = np.random.default_rng(0).standard_normal(4_000).astype(np.float32)
    loud, quiet = (speech.log_mel(gain * noise, 8, 20) for gain in (0.5, 0.05))
    np.testing.assert_allclose(loud, quiet, atol=1e-3)


def test_features_are_scaled_by_the_training_recordings():
    pytest.importorskip("librosa")
    data = SpeechData(4, 6, root=make.write_speech())
    x = data.examples("train", 100).spikes
    assert x.shape == (8, 4, 6)
    torch.testing.assert_close(x.mean((0, 1)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.flatten(0, 1).std(0), torch.ones(6))


@pytest.mark.parametrize("bad", ["rate", "short", "none"])
def test_damaged_recordings_are_named_in_one_line(bad):
    root = make.write_speech(takes=(0,))
    path = Path(root, "0_ann_0.wav")
    if bad == "rate":
        make.write_wav(path, np.zeros(100), rate=16_000)
    else:
        path.write_bytes(path.read_bytes()[: {"short": 20, "none": 0}[bad]])
    with pytest.raises(ValueError, match=r"0_ann_0\.wav") as error:
        speech.read_wav(path)
    assert "\n" not in str(error.value)


# --- the module -------------------------------------------------------------------------------


def module(data, **settings):
    torch.manual_seed(0)
    given = {"num_steps": data.num_steps, "input_shape": data.input_shape, "signal": data.signal}
    small = {"neuron": "spiking_lstm", "readout": "threshold", "hidden": [], "num_readout": 6}
    decoder = {"decoder": "logistic", "window_steps": 1, "beta": 0.0}
    return SequenceModule(data.unscored, **{**given, **small, **decoder, **settings})


def test_the_loss_is_a_mean_over_steps():
    data = SineData(num_steps=20, unscored=5, num_train=4)
    built, batch = module(data), data.examples("train", 4)
    _, out = built.training_loss(batch, Noise(0, 0, batch.id))
    costs = -built.vdib.decode(out.code).log_prob(batch.target)
    torch.testing.assert_close(out.loss(0.0), costs.mean())
    weights = built.weights(20, 5)
    assert weights[:5].tolist() == 5 * [0]
    torch.testing.assert_close(weights[5:], torch.full((15,), 1 / 15))


TINY = {
    "sine": [
        *("--data.num_train", "8", "--data.num_validation", "4", "--data.num_test", "4"),
        *("--data.num_steps", "12", "--data.batch_size", "4"),
    ],
    "char_lm": ["--data.num_steps", "20", "--data.unscored", "8"],
    "word_lm": ["--data.num_steps", "8", "--data.unscored", "3", "--data.vector_size", "4"],
    "speech_digits": ["--data.num_bands", "6"],
}


def run(config, *words, name="a", epochs=1, status=0):
    """A tiny run of a config; its folder."""
    small = [
        *("--config", config, "--name", name, "--model.num_readout", "8", *TINY[config]),
        *("--trainer.max_epochs", str(epochs), "--trainer.enable_progress_bar", "false"),
        *("--trainer.log_every_n_steps", "1", "--figures_every", "-1"),
    ]
    assert fit.main([*small, *words]) == status
    return Path("runs", config, name)


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_a_curve_over_training_is_drawn_and_kept():
    folder = run("sine", "--figures_every", "0", epochs=5)
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert drawn >= {"curve", "curve_over_training", "raster"}
    before = summary(folder)
    assert {"mse", "nats_per_step", "constant_nats_per_step"} <= before.keys()
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert state["epochs"].tolist()[:4] == [1, 2, 4, 0]
    assert evaluate.main([str(folder)]) == 0
    assert summary(folder) == before


@pytest.mark.parametrize(
    "words",
    [[], ["--model.neuron", "lstm"], ["--model.readout", "sampled", "--model.beta", "0.01"]],
    ids=["spiking", "ordinary", "sampled"],
)
def test_perplexity_is_that_of_the_held_out_text(words):
    path = make.write_text(times=20)
    folder = run("char_lm", "--data.path", path, *words)
    said = summary(folder)
    assert said["perplexity"] == pytest.approx(math.exp(said["nats_per_step"]))
    data = TextData(path, num_steps=20, unscored=8)
    model = vdib.load(folder)
    batch = data.examples("test", 1_000)
    with torch.no_grad():
        decoded = model.decode(model.encode(batch.spikes, Noise(0, EVALUATION, batch.id)))
    log_q = decoded.log_prob(batch.target)[:, 8:]
    assert said["nats_per_step"] == pytest.approx(-float(log_q.mean()), abs=1e-4)
    assert said["test_symbols"] == log_q.numel()
    label, r = decoded.logits.argmax(-1)[:, 8:], batch.target[:, 8:]
    with (folder / "figures" / "confusion.csv").open(newline="") as file:
        counts = torch.tensor([[int(n) for n in row[1:]] for row in [*csv.reader(file)][1:]])
    assert counts.sum() == log_q.numel()
    assert int(counts.trace()) == int((label == r).sum())
    assert ("spikes_per_step" in said) == ("lstm" not in words)
    assert ("rate_bits_marginal_per_step" in said) == ("sampled" in words)


@pytest.mark.parametrize("left_out", [[], ["--data.left_out", "[bob]"]])
def test_spoken_digits_run(left_out):
    pytest.importorskip("librosa")
    root = make.write_speech(takes=(0, 5, *range(10, 14)))
    folder = run("speech_digits", "--data.root", root, *left_out)
    assert summary(folder)["test_samples"] == (12 if left_out else 4)
    assert 0 <= summary(folder)["class_accuracy"] <= 1


# --- samples ----------------------------------------------------------------------------------


def text_of(folder, capsys, *words):
    capsys.readouterr()
    assert sample([str(folder), *words]) == 0
    return capsys.readouterr().out[:-1]


@pytest.mark.parametrize("config", ["char_lm", "word_lm"])
def test_samples_begin_with_the_prompt_and_are_repeatable(config, capsys):
    folder = run(config, "--data.path", make.write_text(times=20)).absolute()
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    first = text_of(folder, capsys, "--prompt", "Alice was ", "--length", "9")
    assert first.startswith("alice was ")
    assert first == text_of(folder, capsys, "--prompt", "Alice was ", "--length", "9")
    other = text_of(folder, capsys, "--prompt", "Alice was ", "--length", "9", "--seed", "3")
    assert first != other
    counts = len(text.SYMBOLS["character" if config == "char_lm" else "word"](first))
    if config == "char_lm":
        assert counts == len("alice was ") + 9
    assert text_of(folder, capsys, "--length", "4", "--temperature", "0") == text_of(
        folder, capsys, "--length", "4", "--temperature", "0", "--seed", "5"
    )


def test_what_is_drawn_has_the_models_probabilities():
    """The stream's draws, against the distributions of the whole sequence."""
    data = TextData(make.write_text(times=20), num_steps=20, unscored=8)
    model = module(data).vdib.eval()
    for temperature in (0.0, 0.5, 1.0):
        drawn = draw(model.stream(0), data.vectors, [1, 2], temperature, seed=0)
        indices = [1, 2, *(next(drawn) for _ in range(10))]
        x = data.vectors[torch.tensor([indices[:-1]])]
        with torch.no_grad():
            decoded = model.decode(model.encode(x, Noise(0, EVALUATION, torch.tensor([0]))))
        logits = decoded.logits[0, 1:].double()
        logits[:, 0] = -torch.inf
        generator = torch.Generator().manual_seed(0)
        for step, index in zip(logits, indices[2:], strict=True):
            if temperature == 0:
                assert index == int(step.argmax())
            else:
                p = torch.softmax(step / temperature, -1)
                assert index == int(torch.multinomial(p, 1, generator=generator))


def test_complaints_are_one_line(capsys):
    folder = run("char_lm", "--data.path", make.write_text(times=20))
    capsys.readouterr()
    for words, complaint in [
        ([str(folder), "--prompt", "a#y"], "--prompt: the text of this run has no '#'"),
        (["nothing"], "nothing: no such folder, nor a run that ships"),
    ]:
        assert sample(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert complaint in line
    for words in (["--length", "0"], ["--temperature", "-1.0"], ["--seed", "-1"]):
        assert sample([str(folder), *words]) == 2
        assert f"{words[0]}: got {words[1]}, expected" in capsys.readouterr().err
    other = run("sine")
    capsys.readouterr()
    assert sample([str(other)]) == 2
    assert "is no run of texts: its data are SineData" in capsys.readouterr().err
    Path("text.txt").unlink()
    assert sample([str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "text.txt: no such text" in line


def test_missing_data_are_one_line_and_leave_no_folder(capsys, tmp_path):
    for config, words, complaint in [
        ("char_lm", [], f"alice: put it into {tmp_path / 'data' / 'text' / 'alice.txt'}"),
        ("char_lm", ["--data.path", "my.txt"], "my.txt: no such text; expected a file, or one"),
        ("speech_digits", [], f"{tmp_path / 'data' / 'fsdd'}: no <digit>_<speaker>_<take>.wav"),
    ]:
        run(config, *words, status=2)
        (line,) = capsys.readouterr().err.splitlines()
        assert complaint in line
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("make_one", "complaint"),
    [
        (lambda: SineData(phase="free"), "phase: got 'free', expected fixed or random"),
        (lambda: SineData(num_inputs=3), "num_inputs: got 3, expected an even number"),
        (lambda: SineData(unscored=100), "unscored: got 100, expected 0 to 99"),
        (lambda: SineData(num_test=0), "num_test: got 0, expected at least 1"),
        (lambda: TextData(make.write_text(), "letter"), "expected character or word"),
        (lambda: TextData(make.write_text(), num_steps=4_000), "too short for excerpts of 4000"),
        (lambda: TextData(make.write_text(), min_count=0), "got 0 and 100, expected 1 or more"),
        (lambda: SpeechData(0), "num_steps and num_bands: got 0 and 48"),
    ],
)
def test_settings_that_cannot_be_are_refused(make_one, complaint):
    with pytest.raises(ValueError, match=complaint):
        make_one()


def test_a_curve_over_training_says_the_error_of_each_moment():
    decoded = torch.stack([torch.full((4, 1), 0.5), torch.full((4, 1), 0.1)])
    figure = curve_over_training(torch.zeros(4, 1), decoded, [1, 8])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    errors = ["epoch 1: mean squared error 0.2500", "epoch 8: mean squared error 0.0100"]
    assert titles == errors
    with pytest.raises(ValueError, match="expected one length"):
        curve_over_training(torch.zeros(4, 1), decoded, [1])
