"""Mistakes that tests must catch: each is made in a copy of the tree, and its test has to fail.

    python tests/mutants.py            # all of them, a few minutes
    python tests/mutants.py window     # those in files whose names hold the word
    python tests/mutants.py --table    # the table of CONTRIBUTING.md

`test_mutants.py` holds the list to the code and to CONTRIBUTING.md without running it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        file: where it is made.
        old: what stands there, once.
        new: what is written in its place.
        mistake: in words.
        test: what has to fail, as pytest takes it.
    """

    file: str
    old: str
    new: str
    mistake: str
    test: str


CHOICES, NEURONS = "tests/test_choices.py", "tests/test_choices.py::TestNeurons"
READOUTS, DECODERS = "tests/test_choices.py::TestReadouts", "tests/test_choices.py::TestDecoders"

MUTANTS = [
    Mutant(
        "vdib/dynamics/scan.py",
        "now = grad_spikes[:, t] + gain * ctx.feedback.read(state)",
        "now = grad_spikes[:, t]",
        "the backward pass forgets refractoriness",
        f"{NEURONS}::test_gradients_are_those_of_a_smooth_twin",
    ),
    Mutant(
        "vdib/dynamics/feedback.py",
        "coming[:-1] += state[0][1:]",
        "coming[:-1] += state[0][:-1]",
        "a finite feedback kernel does not move on with time",
        "tests/test_scan.py::test_over_is_reading_and_writing_step_by_step",
    ),
    Mutant(
        "vdib/neurons/srm.py",
        "return s, v, (synaptic, self.feedback.write(own, s))",
        "return s, v, (synaptic, own)",
        "a stream's neurons do not feel their own spikes",
        f"{NEURONS}::test_steps_are_the_whole_sequence",
    ),
    Mutant(
        "vdib/neurons/srm.py",
        "potential = currents.diagonal(dim1=1, dim2=2).sum(-1)",
        "potential = currents.sum((1, 2))",
        "online, every kernel's weights see every kernel's trace",
        f"{READOUTS}::test_traces_make_v",
    ),
    Mutant(
        "vdib/neurons/srm.py",
        "weight.mul_(spread / rms)",
        "weight.mul_(spread)",
        "calibration does not look at the potentials",
        f"{NEURONS}::test_calibration_forgets_the_scale_of_the_weights",
    ),
    Mutant(
        "vdib/neurons/layer.py",
        'if not hasattr(layer, "from_traces"):',
        "if False:",
        "rules that need a drive take any layer",
        "tests/test_credit.py::test_rules_by_the_drive_refuse_layers_without_one",
    ),
    Mutant(
        "vdib/neurons/stepping.py",
        "self.after: Array = (layer.after / 2).numpy()",
        "self.after: Array = layer.after.numpy()",
        "a fast stream is twice as refractory",
        f"{READOUTS}::test_a_saved_stream_goes_on_alike",
    ),
    Mutant(
        "vdib/encoder.py",
        "once.repeat(samples, 1, 1)",
        "once.repeat_interleave(samples, 0)",
        "codes of one input lie beside each other, their noise does not",
        "tests/test_encoder.py::test_samples_are_sample_major_and_share_one_hidden_pass",
    ),
    Mutant(
        "vdib/encoder.py",
        "towards = torch.where(self.spikes > 0.5, self.logits, -self.logits)",
        "towards = self.logits",
        "silence is as likely as a spike",
        "tests/test_encoder.py::test_log_prob_is_that_of_independent_spikes_given_the_past",
    ),
    Mutant(
        "vdib/credit.py",
        "return value + layer.same_step_drive(spikes - spikes.detach())",
        "return layer.drive(spikes)",
        "e-prop credits later steps as well",
        "tests/test_credit.py::test_eprop_is_learning_signal_times_eligibility",
    ),
    Mutant(
        "vdib/estimator.py",
        "to_go = (distortion + beta * rate).flip(1).cumsum(1).flip(1)",
        "to_go = distortion + beta * rate",
        "spikes are credited with the costs of their own step only",
        "tests/test_estimator.py::test_score_function_has_the_exact_gradient_in_expectation",
    ),
    Mutant(
        "vdib/estimator.py",
        "others = (grouped.sum(0) - grouped) / (self.num_samples - 1)",
        "others = grouped.mean(0, keepdim=True)",
        "a code is compared with a mean that holds itself",
        "tests/test_estimator.py::test_leave_one_out_has_the_exact_gradient_in_expectation",
    ),
    Mutant(
        "vdib/objective.py",
        "return (softplus(prior_logits) - spikes * prior_logits).sum(-1)",
        "return (softplus(-prior_logits) - spikes * prior_logits).sum(-1)",
        "code lengths are those of no distribution",
        "tests/test_objective.py::test_code_lengths_are_those_of_a_distribution_over_codes",
    ),
    Mutant(
        "vdib/prior.py",
        "self.linear(delayed(spikes))",
        "self.linear(spikes)",
        "the prior sees the step that it predicts",
        f"{CHOICES}::TestPriors::test_it_sees_the_past_only",
    ),
    Mutant(
        "vdib/window.py",
        "return nn.functional.pad(spikes, (0, 0, length - 1, 0))",
        "return nn.functional.pad(spikes, (0, 0, 0, length - 1))",
        "windows reach into the future",
        f"{DECODERS}::test_every_step_is_the_decoding_of_each_prefix",
    ),
    Mutant(
        "vdib/window.py",
        "basis[0] = 1",
        "basis[0] *= 1",
        "the basis begins with a mean and not with the sum",
        f"{DECODERS}::test_training_starts_where_it_promises",
    ),
    Mutant(
        "vdib/window.py",
        'if "forward" in vars(cls) and "linear" not in vars(cls):',
        "if False:",
        "a window of one's own is passed over at every step",
        "tests/test_decoder.py::test_a_window_of_ones_own_is_asked_at_every_step",
    ),
    Mutant(
        "vdib/decoder.py",
        "self.head.bias.copy_(outputs)",
        "self.head.bias.add_(outputs)",
        "training starts from the constant answer plus noise",
        f"{DECODERS}::test_a_start_from_given_outputs",
    ),
    Mutant(
        "vdib/neurons/leaky.py",
        "self.synapses(x).view(-1, *self.shape) + self.bias",
        "self.synapses(x).view(-1, *self.shape)",
        "leaky neurons receive no bias current",
        "tests/test_leaky.py::test_the_reset_carries_no_gradient",
    ),
    Mutant(
        "vdib/handmade.py",
        "before = silent.cumsum(1) - silent",
        "before = silent.cumsum(1)",
        "who fires first is also silent in that step",
        "tests/test_handmade.py::test_the_first_to_spike_has_the_probability_of_its_codes",
    ),
    Mutant(
        "vdib/signal.py",
        "r.std(0, correction=0)",
        "r.std(0)",
        "the best constant deviation is too wide",
        "tests/test_signal.py::test_the_constant_answer_costs_least",
    ),
    Mutant(
        "vdib/neurons/normalised.py",
        "norm.bias - norm.running_mean * scale",
        "norm.bias - norm.running_mean",
        "the bias current of batch norm forgets the scale",
        "tests/test_techniques.py::test_running_statistics_fold_into_weights_and_a_bias_current",
    ),
    Mutant(
        "vdib/neurons/attended.py",
        "nn.functional.pad(s, (self.num_steps - 1, 0))",
        "nn.functional.pad(s, (self.num_steps - 2, 1))",
        "attention sees the next step",
        "tests/test_techniques.py::test_attention_is_the_formula_and_sees_no_later_step",
    ),
    Mutant(
        "vdib/neurons/delayed.py",
        "(grad * (later - out))",
        "(grad * (out - later))",
        "delays learn in the wrong direction",
        "tests/test_techniques.py::test_the_gradient_of_a_delay_is_the_difference_to_one_more_step",
    ),
    Mutant(
        "vdib/neurons/residual.py",
        '"and": torch.mul',
        '"and": torch.maximum',
        "an AND block is an OR",
        "tests/test_techniques.py::test_residual_steps_and_gradients",
    ),
    Mutant(
        "vdib/pruning.py",
        "weight.mul_(alive)",
        "weight.mul_(weight != 0)",
        "pruned weights come back",
        "tests/test_pruning.py::test_the_smallest_weights_go_and_stay_zero_through_adam",
    ),
    Mutant(
        "lightning_modules/trained_module.py",
        "self.progress >= self.pruning.end",
        "self.progress >= 0",
        "a model is chosen before it is pruned",
        "tests/test_pruning.py::test_a_training_prunes_and_chooses_among_pruned_weights",
    ),
    Mutant(
        "vdib/distillation.py",
        "self.weight * tau**2 * divergence",
        "self.weight * divergence",
        "a teacher says less the warmer it is",
        "tests/test_distillation.py::test_the_cost_is_the_divergence_at_a_temperature",
    ),
    Mutant(
        "vdib/penalty.py",
        "x.relu() if only_above else x",
        "x",
        "rates below their ceiling cost something",
        "tests/test_penalty.py::test_a_rate_is_compared_with_its_target",
    ),
    Mutant(
        "vdib/model.py",
        "due = due + penalty",
        "due = due + 0 * penalty",
        "penalties are paid, but no spike learns that it caused them",
        "tests/test_estimator.py::test_penalties_are_credited_to_the_spikes",
    ),
    Mutant(
        "vdib/model.py",
        "return self.encoder.readout.stochastic and looks",
        "return looks",
        "an estimator is asked about spikes that were not drawn",
        "tests/test_model.py::"
        "test_a_deterministic_readout_costs_its_code_length_and_is_trained_without_an_estimator",
    ),
    Mutant(
        "vdib/stream.py",
        "layer, start = len(self._layers) - 1, self.time - at",
        "layer, start = len(self._layers) - 1, 0",
        "a stream draws the same noise again and again",
        "tests/test_stream.py::test_a_stream_equals_the_whole_sequence",
    ),
    Mutant(
        "vdib/online.py",
        "below = own.spikes + lived * slope * (v - v.detach())",
        "below = own.spikes + slope * (v - v.detach())",
        "online learning credits steps before the first",
        "tests/test_online.py::test_gradients_sum_to_those_of_the_truncated_sequence",
    ),
    Mutant(
        "vdib/noise.py",
        "1 + start * size, 1 + (start + num_steps) * size",
        "1 + start, 1 + start + num_steps * size",
        "noise depends on where drawing began",
        "tests/test_noise.py::test_time_starts_anywhere",
    ),
    Mutant(
        "vdib/backends/cpu/event_kernels.py",
        "sums[i] += (wide(p[i]) + wide(q[i])) + (wide(u[i]) + wide(v[i]))",
        "sums[i] += (wide(p[i]) + wide(q[i])) + (wide(u[i]) + wide(u[i]))",
        "the weights' gradient counts one event twice and one not at all",
        "tests/test_events.py::test_currents_and_gradients_are_the_dense_ones",
    ),
    Mutant(
        "lightning_modules/order.py",
        "self.seed * 1_000_003 + self.epoch",
        "self.seed + self.epoch",
        "a seed's second epoch is another seed's first",
        "tests/test_data_modules.py::test_order_is_a_function_of_seed_and_epoch",
    ),
    Mutant(
        "lightning_modules/naturalisation/image_data.py",
        "return batch.label if isinstance(self.signal, Label) else batch.image.flatten(1)",
        "return batch.image.flatten(1)",
        "who asks for labels gets images",
        "tests/test_data_modules.py::test_batches_are_what_the_module_says_of_itself",
    ),
    Mutant(
        "lightning_modules/predictive_coding/data.py",
        "at = (torch.arange(num_steps, device=bins.device) + self.lag)",
        "at = (torch.arange(num_steps, device=bins.device) - self.lag)",
        "what is to be predicted is recalled",
        "tests/test_predictive_coding.py::test_the_target_is_the_input_at_t_plus_lag",
    ),
    Mutant(
        "lightning_modules/naturalisation/module.py",
        "right = (label == batch.target).float()",
        "right = (label != batch.target).float()",
        "class accuracy is the share of wrong classes",
        "tests/test_naturalisation.py::test_class_accuracy_is_the_share_of_right_classes",
    ),
]


def table() -> str:
    """The mistakes as a table in Markdown."""
    lines = ["| file | mistake | test that fails |", "|---|---|---|"]
    for mutant in MUTANTS:
        path, _, name = mutant.test.partition("::")
        test = f"`{Path(path).name}`, `{name.split('::')[-1]}`"
        lines.append(f"| `{mutant.file}` | {mutant.mistake} | {test} |")
    return "\n".join(lines)


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The file's text with the mistake in it.

    Raises:
        ValueError: what is to be replaced does not stand there once.
    """
    text = (root / mutant.file).read_text("utf-8")
    if (count := text.count(mutant.old)) != 1:
        raise ValueError(f"{mutant.file}: found {count} times, expected once: {mutant.old}")
    return text.replace(mutant.old, mutant.new)


def _pytest(root: Path, *tests: str) -> bool:
    """Whether the tests pass in a copy of the tree."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):  # no such test, or not to be collected
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("words", nargs="*", help="of the names of files; all by default")
    parser.add_argument("--table", action="store_true", help="print the table, try nothing")
    args = parser.parse_args()
    if args.table:
        print(table())
        return 0
    some = [m for m in MUTANTS if not args.words or any(word in m.file for word in args.words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "tree")
        left_out = shutil.ignore_patterns(".git", ".venv", "runs", "build", "*.nbc", "*.nbi")
        shutil.copytree(ROOT, copy, ignore=left_out)
        if not _pytest(copy, *dict.fromkeys(m.test for m in some)):
            print("the tests fail without any mistake")
            return 1
        missed = 0
        for mutant in some:
            path = copy / mutant.file
            before = path.read_text("utf-8")
            path.write_text(mutated(mutant, copy), "utf-8")
            passes = _pytest(copy, mutant.test)
            path.write_text(before, "utf-8")
            missed += passes
            print(
                f"{'MISSED' if passes else 'caught'}  {mutant.file}: {mutant.mistake}", flush=True
            )
    print(f"{len(some) - missed} of {len(some)} caught")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
