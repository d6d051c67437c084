"""Mistakes that tests must catch: each is made in a copy of the tree, and its test has to fail.

    python tests/mutants.py            # all of them, ten minutes and more
    python tests/mutants.py window     # those in files whose names hold the word
    python tests/mutants.py --sample 3 # some, others every day; `test_mutants.py` does so
    python tests/mutants.py --table    # the table of CONTRIBUTING.md

`test_mutants.py` holds the list to the code and to CONTRIBUTING.md.
"""

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

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

SEES, PROTOCOL = "tests/test_who_sees_what.py", "tests/test_protocol.py"
TABLES = "tests/test_benchmarks.py"

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
        "vdib/neurons/spike_response.py",
        "return s, v, (synaptic, self.feedback.write(own, s))",
        "return s, v, (synaptic, own)",
        "a stream's neurons do not feel their own spikes",
        f"{NEURONS}::test_steps_are_the_whole_sequence",
    ),
    Mutant(
        "vdib/neurons/spike_response.py",
        "potential = currents.diagonal(dim1=1, dim2=2).sum(-1)",
        "potential = currents.sum((1, 2))",
        "online, every kernel's weights see every kernel's trace",
        f"{READOUTS}::test_traces_make_v",
    ),
    Mutant(
        "vdib/neurons/spike_response.py",
        "weight.mul_(spread / rms)",
        "weight.mul_(spread)",
        "calibration does not look at the potentials",
        f"{NEURONS}::test_calibration_forgets_the_scale_of_the_weights",
    ),
    Mutant(
        "vdib/neurons/slayer.py",
        "connections = connections.synapses",
        "pass",
        "batch norm before SLAYER neurons starts at ten times its gamma",
        "tests/test_slayer.py::test_batch_norm_leaves_what_is_drawn_to_the_connections",
    ),
    Mutant(
        "vdib/neurons/leaky.py",
        "self.bias.mul_((1 - decay) * theta)",
        "pass",
        "calibration leaves leaky membranes a bias of many thresholds",
        "tests/test_leaky.py::test_no_drawn_bias_alone_is_many_thresholds_once_calibrated",
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
        "vdib/spike_code.py",
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
        "vdib/drawn.py",
        "to_go = (due + rate).flip(1).cumsum(1).flip(1)",
        "to_go = due + rate",
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
        "vdib/prior.py",
        "return spikes, (torch.cat([past, spikes[:, None]], 1),)",
        "return spikes, (torch.cat([past, torch.zeros_like(spikes)[:, None]], 1),)",
        "draws from a prior forget what was drawn",
        f"{CHOICES}::TestPriors::test_what_is_drawn_has_the_probabilities_it_says",
    ),
    Mutant(
        "vdib/network_prior.py",
        "return self.direct.tril(-1),",
        "return self.direct.tril(0),",
        "in an ordered prior a neuron sees its own spike",
        f"{CHOICES}::TestPriors::test_the_probabilities_of_all_codes_add_up_to_1",
    ),
    Mutant(
        "vdib/network_prior.py",
        "seen <= neuron[:, None]",
        "seen <= neuron[:, None] + 1",
        "in an ordered prior a neuron sees hidden units that see itself",
        f"{CHOICES}::TestPriors::test_the_probabilities_of_all_codes_add_up_to_1",
    ),
    Mutant(
        "vdib/state_prior.py",
        "                believed.append(weights)\n"
        "                weights = self._after(weights, now)\n",
        "                weights = self._after(weights, now)\n"
        "                believed.append(weights)\n",
        "a hidden state is inferred from the step that it predicts",
        f"{CHOICES}::TestPriors::test_it_sees_the_past_only",
    ),
    Mutant(
        "vdib/drawn.py",
        "return to_go if ordered else to_go - rate",
        "return to_go - rate",
        "under an ordered prior, spikes are not credited with the rate of their own step",
        "tests/test_estimator.py::"
        "test_spikes_are_credited_with_their_own_step_under_an_ordered_prior",
    ),
    Mutant(
        "vdib/prior_fitting.py",
        "nats, since = mean_nats(fitted, validation, weights), since + 1",
        "nats, since = mean_nats(fitted, train, weights), since + 1",
        "the epoch of a fitted prior is chosen on the codes that it is fitted to",
        "tests/test_prior_fitting.py::test_the_epoch_is_chosen_on_the_validation_codes",
    ),
    Mutant(
        "vdib/runs/fitted_priors.py",
        'found[f"validation_{keys[name]}"])',
        "found[keys[name]])",
        "the best prior is chosen on test codes",
        "tests/test_fitted_priors.py::test_the_best_is_chosen_on_validation_codes",
    ),
    Mutant(
        "vdib/runs/fitted_priors.py",
        'train = _whole(_codes(cli, trainer, "train", count))',
        'train = _whole(_codes(cli, trainer, "validation", 500))',
        "priors are fitted to validation codes",
        "tests/test_fitted_priors.py::test_the_figures_by_hand",
    ),
    Mutant(
        "vdib/tradeoff/curves.py",
        "+ (beta - float(job.beta)) * summary",
        "+ beta * summary",
        "a frozen encoder pays twice for its bits where its gain is chosen",
        "tests/test_tradeoff.py::"
        "test_a_frozen_encoder_has_the_gain_that_costs_least_on_validation_data",
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
        "unit = 1 - beta if self.decay_input else 1",
        "unit = 1",
        "the neurons of PLIF receive their whole input",
        "tests/test_leaky.py::test_plif_is_its_equation",
    ),
    Mutant(
        "vdib/dynamics/integrate_and_fire.py",
        "coming = coming - later * (decay * u if to_zero else theta)",
        "coming = coming - later * theta",
        "a reset to zero has the gradient of one by subtraction",
        "tests/test_leaky.py::test_gradients_are_autograds_of_the_equation",
    ),
    Mutant(
        "vdib/first_spike.py",
        "(silent.cumsum(1) - silent + before)",
        "(silent.cumsum(1) + before)",
        "who fires first is also silent in that step",
        "tests/test_handmade.py::test_the_first_to_spike_has_the_probability_of_its_codes",
    ),
    Mutant(
        "vdib/handmade.py",
        "now = (decided == 0) & spikes.any(-1)",
        "now = spikes.any(-1)",
        "in a stream, who fires last decides",
        f"{DECODERS}::test_streams_decode_alike",
    ),
    Mutant(
        "vdib/handmade.py",
        "return torch.where(ever, among, label), torch.where(ever, first + 1, step)",
        "return torch.where(ever, among, label), step",
        "who fires first has decided at the end only",
        "tests/test_handmade.py::test_decisions_by_count_by_the_membrane_and_by_who_fires_first",
    ),
    Mutant(
        "lightning_modules/verdicts.py",
        "self.counts = self.counts + confusions",
        "self.counts = confusions",
        "confusions are those of the last batch",
        "tests/test_calibration.py::test_tables_hold_all_decisions_of_all_batches",
    ),
    Mutant(
        "vdib/information/of_run.py",
        "start_of_fit(cli, word, PRIORS[word].part, train.spikes)",
        "PRIORS[word].part(num_readout, 0.1)",
        "the prior of training is fitted from the start",
        "tests/test_of_run.py::test_priors_are_fitted_to_training_codes_and_read_on_test_codes",
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
        "return self.encoder.readout.stochastic and some",
        "return some",
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
        "rates, rates.detach())",
        "rates, rates)",
        "online, free bits are charged",
        "tests/test_online.py::test_neurons_of_a_low_rate_are_not_charged_at_that_step",
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
    Mutant(
        "lightning_modules/data_module.py",
        'self._loader("validation")',
        'self._loader("test")',
        "validation reads the test split",
        f"{SEES}::test_every_loader_hands_over_its_own_split_once",
    ),
    Mutant(
        "lightning_modules/data_module.py",
        'self._loader("test")',
        'self._loader("validation")',
        "the test reads the validation split",
        f"{SEES}::test_every_loader_hands_over_its_own_split_once",
    ),
    Mutant(
        "lightning_modules/data_module.py",
        'self.signal.constant(self.targets("train"))',
        'self.signal.constant(self.targets("validation"))',
        "the decoder starts from the mean of validation images",
        f"{SEES}::test_the_start_looks_at_training_data",
    ),
    Mutant(
        "lightning_modules/data_module.py",
        "trainer.global_step if trainer and trainer.training else EVALUATION",
        "EVALUATION",
        "rate coding draws the same spikes at every step",
        f"{SEES}::test_what_is_fitted_or_chosen_sees_what_it_may",
    ),
    Mutant(
        "lightning_modules/trained_module.py",
        'data.examples("train", 256)',
        'data.examples("test", 256)',
        "weights are calibrated on test examples",
        f"{SEES}::test_the_start_looks_at_training_data",
    ),
    Mutant(
        "lightning_modules/trained_module.py",
        "Noise(self.seed, self.global_step, batch.id)",
        "Noise(self.seed, 0, batch.id)",
        "noise of training ignores the step",
        f"{SEES}::test_what_is_fitted_or_chosen_sees_what_it_may",
    ),
    Mutant(
        "lightning_modules/trained_module.py",
        "noise = Noise(self.seed, self",
        "noise = Noise(0, self",
        "noise of training ignores the seed",
        f"{SEES}::test_what_is_fitted_or_chosen_sees_what_it_may",
    ),
    Mutant(
        "lightning_modules/trained_module.py",
        '{"params": encoder, "lr": self.encoder_lr}',
        '{"params": encoder}',
        "the encoder's learning rate is the decoder's",
        f"{SEES}::test_optimiser_groups_and_schedule",
    ),
    Mutant(
        "lightning_modules/trained_module.py",
        "parts = self.vdib.decoder, self.vdib.prior, self.vdib.estimator",
        "parts = self.vdib.decoder, self.vdib.estimator",
        "a learned prior is not learned",
        f"{SEES}::test_optimiser_groups_and_schedule",
    ),
    Mutant(
        "lightning_modules/schedule.py",
        "math.cos(math.pi * min(step, steps) / steps)",
        "math.cos(math.pi * min(step, steps) / steps / 2)",
        "the cosine ends half way",
        f"{SEES}::test_optimiser_groups_and_schedule",
    ),
    Mutant(
        "vdib/encoder.py",
        "self.readout.calibrate(x, spread, rate",
        "self.readout.calibrate(x, 1.0, rate",
        "the gain of a frozen encoder is left out",
        f"{SEES}::test_the_start_looks_at_training_data",
    ),
    Mutant(
        "lightning_modules/naturalisation/module.py",
        "judged = self.judge(natural)",
        "judged = self.judge(batch.target.view_as(natural))",
        "the judge is shown the originals",
        f"{PROTOCOL}::test_the_judge_sees_what_was_naturalised",
    ),
    Mutant(
        "lightning_modules/naturalisation/module.py",
        "out.rate.sum(1).mean() * BITS_PER_NAT,",
        "out.rate.sum(1).mean(),",
        "rates of images are in nats",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "lightning_modules/measured_module.py",
        "code.cost(torch.logit(rates))",
        "SpikeCode(code.spikes, torch.logit(rates).expand_as(code.logits)).cost(code.logits)",
        "the KL to the fitted marginal is reversed",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "lightning_modules/measured_module.py",
        "nats.sum(1).mean() * BITS_PER_NAT",
        "nats.sum(1).mean()",
        "the rate under the fitted marginal is in nats",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "lightning_modules/naturalisation/module.py",
        "ssim(natural, batch.target.view_as(natural))",
        "ssim(natural, natural)",
        "images are compared with themselves",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "lightning_modules/naturalisation/module.py",
        "out.code.spikes.sum((1, 2)).mean()",
        "out.code.spikes.sum(1).mean()",
        "spikes per sample are those per neuron",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "lightning_modules/naturalisation/module.py",
        "sum(spikes.mean() for spikes in hidden) / max(1, len(hidden))",
        "sum(spikes.mean() for spikes in hidden)",
        "hidden rates of several layers add up",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "lightning_modules/naturalisation/module.py",
        "batch.spikes, batch.target, Noise(self.seed, EVALUATION, batch.id)",
        "batch.spikes, batch.target, Noise(0, EVALUATION, batch.id)",
        "all seeds are measured under the noise of one",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "lightning_modules/measured_module.py",
        "torch.sigmoid(logits).sum(0)",
        "torch.sigmoid(logits).mean(0)",
        "a smaller last batch counts as much in the marginal",
        f"{PROTOCOL}::test_what_is_fitted_on_validation_data_is_not_measured_on_them",
    ),
    Mutant(
        "lightning_modules/predictive_coding/module.py",
        "return scored / scored.sum()",
        "return scored / len(scored)",
        "nats per step count steps that are not scored",
        f"{PROTOCOL}::test_every_figure_of_prediction_by_hand",
    ),
    Mutant(
        "lightning_modules/predictive_coding/module.py",
        "wrong.square().mean(-1)",
        "wrong.square().sum(-1)",
        "the MSE is a sum over inputs",
        f"{PROTOCOL}::test_every_figure_of_prediction_by_hand",
    ),
    Mutant(
        "lightning_modules/predictive_coding/module.py",
        "out.rate.sum(1).mean() * BITS_PER_NAT,",
        "out.rate.sum(1).mean(),",
        "rates per step are in nats",
        f"{PROTOCOL}::test_every_figure_of_prediction_by_hand",
    ),
    Mutant(
        "lightning_modules/measured_module.py",
        "nats if weights is None else weights * nats",
        "nats",
        "the fitted marginal is charged in steps that are not scored",
        f"{PROTOCOL}::test_every_figure_of_prediction_by_hand",
    ),
    Mutant(
        "lightning_modules/predictive_coding/module.py",
        "self.signal.likelihood(data.constant())",
        "self.signal.likelihood(self.signal.constant(r))",
        "the constant answer is fitted to what it is measured on",
        "tests/test_predictive_coding.py::test_without_spikes_it_costs_the_entropy",
    ),
    Mutant(
        "vdib/model.py",
        "r = r.repeat(code.spikes.shape[0] // r.shape[0], *[1] * (r.dim() - 1))",
        "r = r.repeat_interleave(code.spikes.shape[0] // r.shape[0], 0)",
        "codes of one input are measured against another's target",
        f"{PROTOCOL}::test_several_codes_are_measured_against_the_target_of_their_own_input",
    ),
    Mutant(
        "vdib/model.py",
        "nats.repeat(len(cost) // len(nats), 1)",
        "nats.repeat_interleave(len(cost) // len(nats), 0)",
        "codes of one input pay another's penalties",
        f"{PROTOCOL}::test_several_codes_are_measured_against_the_target_of_their_own_input",
    ),
    Mutant(
        "vdib/bottleneck.py",
        "self.distortion.sum(1) + beta * self.rate.sum(1)",
        "self.distortion.sum(1) + beta * self.rate.mean(1)",
        "the loss charges the mean rate of a step",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "vdib/objective.py",
        "BITS_PER_NAT = 1 / math.log(2)",
        "BITS_PER_NAT = math.log(2)",
        "nats are turned into bits the wrong way",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "vdib/objective.py",
        "torch.sigmoid(logits) * (logits - prior_logits)",
        "torch.sigmoid(prior_logits) * (logits - prior_logits)",
        "the KL's expectation is taken under the prior",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "vdib/objective.py",
        "pad(costs, (num_steps - costs.shape[1], 0))",
        "pad(costs, (0, num_steps - costs.shape[1]))",
        "the cost of an image is due before its spikes",
        "tests/test_model.py::test_the_last_step_alone_is_charged_for_a_static_target",
    ),
    Mutant(
        "vdib/noise.py",
        "_mix_((keys ^ sample[:, None]) + _GOLDEN)",
        "_mix_((keys ^ 0 * sample[:, None]) + _GOLDEN)",
        "several codes of an input are one code",
        "tests/test_noise.py::test_samples_of_one_example_are_unrelated",
    ),
    Mutant(
        "vdib/metrics.py",
        "half = z * math.sqrt",
        "half = math.sqrt",
        "intervals are of 68 %",
        "tests/test_metrics.py",
    ),
    Mutant(
        "vdib/estimator.py",
        "returns - self.baseline / self.weight.clamp_min(1e-12)",
        "returns - returns.mean(0)",
        "the baseline holds the batch it is subtracted from",
        "tests/test_estimator.py::test_the_baseline_holds_earlier_batches_only",
    ),
    Mutant(
        "vdib/drawn.py",
        "return to_go if ordered else to_go - rate",
        "return to_go",
        "spikes are credited with the rate of their own step",
        "tests/test_estimator.py::test_returns_count_what_spikes_may_still_change",
    ),
    Mutant(
        "vdib/neurons/readout.py",
        "RaisedCosines(num_filters, memory_steps)",
        "RaisedCosines(num_filters)",
        "the encoder's memory is ten steps whatever is asked",
        "tests/test_readout.py::test_the_memory_of_a_sampled_readout_is_a_setting",
    ),
    Mutant(
        "vdib/lenet5.py",
        "TRAINED_ON = (12_000, 60_000)",
        "TRAINED_ON = (0, 60_000)",
        "the judge is trained on what it judges",
        f"{SEES}::test_nothing_is_measured_on_what_the_judge_was_trained_on",
    ),
    Mutant(
        "datasets/sources.py",
        '"validation": (6_000, 12_000)',
        '"validation": (12_000, 18_000)',
        "simulated validation shows digits to train on",
        f"{SEES}::test_nothing_is_measured_on_what_the_judge_was_trained_on",
    ),
    Mutant(
        "datasets/digits.py",
        '"validation": slice(400, 450)',
        '"validation": slice(450, 500)',
        "validation digits are test digits",
        "tests/test_digits.py::test_splits_are_stratified_and_disjoint",
    ),
    Mutant(
        "datasets/simulated.py",
        "found = source_images(split, source)",
        'found = source_images("train", source)',
        "simulated test recordings show digits to train on",
        f"{SEES}::test_simulated_recordings_of_two_splits_show_no_digit_in_common",
    ),
    Mutant(
        "datasets/nmnist.py",
        "base = NUM_TRAINING if official_test else 0",
        "base = 0",
        "test recordings have the ids of others",
        "tests/test_nmnist.py::test_official_splits",
    ),
    Mutant(
        "datasets/nmnist.py",
        "if position % num_folds == fold:",
        "if position % (num_folds + 1) == fold:",
        "a fold tests on other recordings than its share",
        "tests/test_nmnist.py::test_folds_part_the_files",
    ),
    Mutant(
        "datasets/spike_set.py",
        "[p.image + b for p, b",
        "[p.image for p, b",
        "of two sets, the second becomes the first's images",
        f"{SEES}::test_sets_side_by_side_keep_their_own_images",
    ),
    Mutant(
        "lightning_modules/naturalisation/event_data.py",
        "np.bincount(train.image, minlength=len(train.images)) / len(train)",
        "np.full(len(train.images), 1 / len(train.images))",
        "the mean image forgets how often each is shown",
        "tests/test_event_data.py::test_the_mean_target_counts_repetitions",
    ),
    Mutant(
        "lightning_modules/predictive_coding/signals.py",
        "(t >= unscored) &",
        "(t + lag >= unscored) &",
        "which steps count depends on the lag",
        "tests/test_predictive_coding.py::test_scored_steps_have_a_target_and_a_past",
    ),
    Mutant(
        "vdib/coding.py",
        "(steps == num_steps - 1 - level[:, None])",
        "(steps == level[:, None])",
        "dark pixels spike first",
        "tests/test_coding.py",
    ),
    Mutant(
        "vdib/runs/measuring.py",
        '"validation_loss_nats": validation["val/loss"]',
        '"validation_loss_nats": figures["loss"]',
        "the validation loss is the test loss",
        f"{PROTOCOL}::test_a_summary_by_hand",
    ),
    Mutant(
        "vdib/runs/measuring.py",
        "wilson_interval(round(figures[name] * count), count)",
        "wilson_interval(round(figures[name] * 100), 100)",
        "intervals are of 100 examples",
        f"{PROTOCOL}::test_a_summary_by_hand",
    ),
    Mutant(
        "vdib/runs/measuring.py",
        "    take_best(cli, run)\n    arguments",
        "    arguments",
        "the last weights are measured, not the best",
        "tests/test_cli.py::test_last_is_the_last_epoch_and_best_the_best",
    ),
    Mutant(
        "vdib/runs/trainer_settings.py",
        'monitor="val/loss"',
        'monitor="train/loss"',
        "the best epoch is chosen on training data",
        "tests/test_cli.py::test_last_is_the_last_epoch_and_best_the_best",
    ),
    Mutant(
        "benchmarks/frozen.py",
        '["validation_loss_nats"]',
        '["distortion_nats"]',
        "the gain of the frozen encoder is chosen on test data",
        f"{TABLES}::test_the_table_of_decoders",
    ),
    Mutant(
        "benchmarks/predictive_coding.py",
        'float(row["validation_loss_nats"]) for row in runs',
        'float(row["nats_per_step"]) for row in runs',
        "the gain of predictions is chosen on test data",
        f"{TABLES}::test_the_tables_of_prediction",
    ),
    Mutant(
        "benchmarks/recordings.py",
        'NMNIST("test", fold=k)) for k',
        'NMNIST("test", fold=0)) for k',
        "all folds are tested on the first",
        f"{TABLES}::test_the_tables_of_recordings",
    ),
    Mutant(
        "benchmarks/estimators.py",
        'mean = Digits("train")',
        'mean = Digits("validation")',
        "the best constant image is that of what it is measured on",
        f"{TABLES}::test_the_table_of_estimators",
    ),
    Mutant(
        "benchmarks/naturalisation_table.py",
        'zip(trained["rate"], trained[chosen], strict=True)',
        'zip(trained[chosen], trained["rate"], strict=True)',
        "above and below rate decoding are exchanged",
        f"{TABLES}::test_the_table_of_decoders",
    ),
    Mutant(
        "vdib/dynamics/alpha.py",
        "response[0, length] -= length * a**length",
        "response[0, length] -= 0",
        "an alpha function is never cut",
        "tests/test_slayer.py::test_a_synapse_is_the_cut_alpha_function",
    ),
    Mutant(
        "vdib/dynamics/scan.py",
        "elif not ctx.attached:",
        "elif ctx is None:",
        "the gradient passes through refractoriness that it is detached from",
        "tests/test_slayer.py::test_no_gradient_passes_through_refractoriness",
    ),
    Mutant(
        "vdib/slayer_counts.py",
        "spikes[:, begin:].detach()",
        "spikes[:, begin:]",
        "SLAYER's published credit is that of the count",
        "tests/test_slayer.py::test_the_published_credit_by_name",
    ),
    Mutant(
        "datasets/transforms/moved.py",
        "& (new_x < width)",
        "",
        "spikes that leave the sensor come back in the next row",
        "tests/test_moved.py::test_spikes_move_with_their_pixels",
    ),
    Mutant(
        "datasets/transforms/moved.py",
        "y + (along_y",
        "y - (along_y",
        "recordings are sheared rather than turned",
        "tests/test_moved.py::test_spikes_turn_clockwise_about_the_centre",
    ),
    Mutant(
        "vdib/dynamics/lstm.py",
        "dc = o * dh + carried",
        "dc = o * dh",
        "the gradient of a spiking cell's memory ends with the step",
        "tests/test_lstm.py::test_the_gradient_by_hand_is_autograds",
    ),
    Mutant(
        "vdib/dynamics/lstm.py",
        "dc = torch.where(f * before + i * g > 1, self.gamma * dc, dc)",
        "dc = torch.where(f * before + i * g > 0, self.gamma * dc, dc)",
        "gamma acts on every memory that is filled, clipped or not",
        "tests/test_lstm.py::test_the_gradient_by_hand_is_autograds",
    ),
    Mutant(
        "vdib/dynamics/lstm.py",
        "before = torch.nn.functional.pad(h[:, :-1], (0, 0, 1, 0))",
        "before = h",
        "recurrent weights learn from the spikes of the same step",
        "tests/test_lstm.py::test_the_gradient_by_hand_is_autograds",
    ),
    Mutant(
        "vdib/backends/cpu/lstm_cell.py",
        "carried[b, j] = f * ds",
        "carried[b, j] = ds",
        "the compiled cell forgets nothing on the way back",
        "tests/test_lstm.py::test_the_kernels_are_the_plain_cell",
    ),
    Mutant(
        "vdib/dynamics/scan.py",
        "spikes.detach(), asked, gain * total)",
        "spikes.detach(), asked, gain * grad_v)",
        "learned refractoriness does not learn from later spikes",
        "tests/test_learned.py::test_gradients_are_autograds_of_the_equation",
    ),
    Mutant(
        "vdib/neurons/learned.py",
        "** (steps - 1) * ratio",
        "** (steps - 1) * ratio.detach()",
        "responses of learned decays do not keep their peak",
        "tests/test_learned.py::test_the_peak_moves_with_the_decays",
    ),
    Mutant(
        "vdib/neurons/recurrent.py",
        "inner.feedback = LearnedFeedback(decay)",
        "inner.feedback = LearnedFeedback(Decay('beta', beta, True, ()))",
        "what resets a recurrent LIF neuron leaks at another rate than the neuron",
        "tests/test_learned.py::test_the_reset_of_recurrent_lif_neurons_learns_with_their_leak",
    ),
    Mutant(
        "vdib/neurons/recurrent.py",
        "state = s_t, synaptic, self.inner.feedback.write(state[2], s_t)",
        "state = s_t.detach(), synaptic, self.inner.feedback.write(state[2], s_t)",
        "no gradient passes by recurrent weights",
        "tests/test_recurrent.py::test_lif_neurons_hear_each_other",
    ),
    Mutant(
        "vdib/parts.py",
        "if asked and not spiking(layer):",
        "if False:",
        "real numbers of an LSTM are priced as spikes",
        "tests/test_lstm.py::test_real_numbers_have_no_price",
    ),
    Mutant(
        "vdib/window.py",
        "padded.shape[1] + looks - 1",
        "padded.shape[1] + looks",
        "a look sees the step after it",
        "tests/test_anytime.py::test_windows_are_those_of_every_step",
    ),
    Mutant(
        "vdib/objective.py",
        "return due.scatter_add(1, looks - 1, costs)",
        "return due.scatter_add(1, looks * 0, costs)",
        "what is due at a look is due at once",
        "tests/test_anytime.py::test_spikes_are_credited_with_the_looks_they_may_change",
    ),
    Mutant(
        "lightning_modules/naturalisation/event_data.py",
        "looks = drawn_looks(noise, self.looks, self.num_steps - begin)",
        "looks = drawn_looks(noise, self.looks, self.num_steps - 0 * begin)",
        "training looks at recordings after their end",
        "tests/test_anytime.py::test_training_sees_what_was_drawn_and_evaluation_all",
    ),
    Mutant(
        "datasets/transforms/track.py",
        "            state = self.after(*own, state)\n        kept",
        "            state = self.after(*own, state) if len(part) > 20 else state\n        kept",
        "quiet steps do not move the window that follows",
        "tests/test_track.py::test_a_batch_is_followed_as_by_hand",
    ),
    Mutant(
        "lightning_modules/naturalisation/anytime.py",
        "late = accuracy[2 * self.looks >= self.looks[-1]]",
        "late = accuracy[2 * self.looks > 2 * self.looks[-2]]",
        "the worst look from half of the time on is the last",
        "tests/test_anytime.py::test_counts_by_hand",
    ),
    Mutant(
        "vdib/neurons/event_stepping.py",
        "self.fed_back[fired] -= 1",
        "self.fed_back[fired] -= 0",
        "neurons of a stream of events do not feel their own spikes",
        "tests/test_event_stream.py::test_a_stream_of_events_equals_the_whole_sequence",
    ),
    Mutant(
        "vdib/backends/cpu/sift_kernel.py",
        "if stamp[n] == step:",
        "if stamp[n] == step + 1:",
        "a pixel that fires twice in a step counts twice",
        "tests/test_event_feed.py::test_steps_are_those_of_the_sequence",
    ),
    Mutant(
        "vdib/naturalise/event_feed.py",
        "if under_way else self.stream.recent",
        "if not under_way else self.stream.recent",
        "a look does not see the step under way",
        "tests/test_event_feed.py::test_a_look_within_a_step_sees_what_has_come_of_it",
    ),
    Mutant(
        "vdib/live/queue.py",
        "self.dropped += over",
        "self.dropped += 1",
        "the queue counts pieces, not the events it drops",
        "tests/test_live.py::test_the_oldest_are_dropped_and_counted_exactly",
    ),
    Mutant(
        "vdib/live/aestream.py",
        "words >> 16 & 0x7FFF",
        "words >> 16 & 0xFFFF",
        "the bit that says there is no time is taken for one of x",
        "tests/test_live.py::test_packets_bit_by_bit",
    ),
    Mutant(
        "vdib/live/clock.py",
        "self._offset += _WRAP",
        "self._offset += 0",
        "after 71 minutes a clock of 32 bits begins again",
        "tests/test_live.py::test_a_clock_of_32_bits_goes_on",
    ),
    Mutant(
        "vdib/metrics.py",
        "b.covariance.trace() - 2 * overlap",
        "b.covariance.trace() - overlap",
        "Gaussians are a distance from themselves",
        "tests/test_fad.py::test_the_distance_is_that_of_a_matrix_square_root",
    ),
    Mutant(
        "vdib/fad.py",
        "seen = (None, None) if batch_statistics else",
        "seen = (None, None) if not batch_statistics else",
        "the two ways of batch norm are exchanged",
        "tests/test_fad.py::test_features_are_those_of_the_network_in_either_mode",
    ),
    Mutant(
        "vdib/importance.py",
        "ratio = -cost - length - code.log_prob().sum(1)",
        "ratio = -cost - length",
        "codes are weighted as if the prior had proposed them",
        "tests/test_importance.py::test_weights_of_given_codes_are_their_ratios",
    ),
    Mutant(
        "vdib/importance.py",
        "math.log(len(weights)) - torch.logsumexp(weights, 0)",
        "-weights.mean(0)",
        "the bound by many codes is the mean of bounds by one",
        "tests/test_importance.py::test_several_codes_bound_the_likelihood_and_many_reach_it",
    ),
    Mutant(
        "vdib/drawing.py",
        "spikes * (steps < until)",
        "spikes * (steps <= until)",
        "an image forms a step ahead of its spikes",
        "tests/test_drawing.py::test_an_image_forms_from_what_has_been_said_so_far",
    ),
    Mutant(
        "vdib/drawing.py",
        "(1 - a) * drive[:1] + a * drive[1:]",
        "a * drive[:1] + (1 - a) * drive[1:]",
        "the way between two codes begins at the second",
        "tests/test_drawing.py::test_between_two_inputs_drives_are_mixed",
    ),
    Mutant(
        "vdib/generate/samples.py",
        "strict=True) if of == label]",
        "strict=True) if of != label]",
        "images of a class are of all other classes",
        "tests/test_generate.py::test_images_of_a_class",
    ),
    Mutant(
        "vdib/decoder.py",
        "self.head(self.deeper(torch.relu(currents)))",
        "self.head(torch.relu(currents))",
        "a decoder of several layers has one",
        "tests/test_decoder.py::test_a_deeper_mlp_decoder_is_its_equation",
    ),
    Mutant(
        "lightning_modules/naturalisation/module.py",
        "(out.distortion.sum(1) + out.rate.sum(1)).mean()",
        "(out.distortion.sum(1) + self.vdib.beta * out.rate.sum(1)).mean()",
        "the ELBO has beta in it",
        f"{PROTOCOL}::test_every_figure_of_naturalisation_by_hand",
    ),
    Mutant(
        "benchmarks/vae.py",
        "best = trials[nats.index(min(nats))]",
        "best = trials[nats.index(max(nats))]",
        "the ordinary autoencoder is the worst of its trials",
        "tests/test_vae_benchmark.py::test_the_table_chooses_on_validation_data",
    ),
    Mutant(
        "benchmarks/beta_input.py",
        "cli.model.at(k)",
        "cli.model.at(0)",
        "a model that is told the price is measured at the first of them",
        "tests/test_beta_input_benchmark.py::test_the_table_of_a_tiny_run",
    ),
    Mutant(
        "benchmarks/beta_input.py",
        "seen = replace(code, spikes=told(code.spikes, self.k, self.count))",
        "seen = replace(code, spikes=told(code.spikes, 0, self.count))",
        "its decoder is always told the first",
        "tests/test_beta_input_benchmark.py::test_each_price_is_its_equation",
    ),
    Mutant(
        "lightning_modules/trained_module.py",
        "parts = self.vdib.decoder, self.vdib.prior, self.vdib.estimator",
        "parts = self.vdib.decoder, self.vdib.prior",
        "the control variate of RELAX is not learned",
        f"{SEES}::test_optimiser_groups_and_schedule",
    ),
    Mutant(
        "lightning_modules/trained_module.py",
        "self.training_loss(batch, noise, self.progress)",
        "self.training_loss(batch, noise)",
        "no price warms up and nothing hardens in a run",
        "tests/test_annealing.py::test_a_run_anneals_by_the_share_of_its_training_that_is_over",
    ),
    Mutant(
        "lightning_modules/measured_module.py",
        "silent | restless",
        "silent",
        "a neuron that always fires is alive",
        "tests/test_annealing.py::test_dead_neurons_never_fire_or_always",
    ),
    Mutant(
        "vdib/price.py",
        "progress / self.warmup",
        "progress",
        "a warm-up lasts the whole training",
        "tests/test_price.py::test_a_model_that_warms_up_is_one_at_a_lower_beta",
    ),
    Mutant(
        "vdib/price.py",
        "> self.free_bits",
        "< self.free_bits",
        "neurons pay up to their free bits and not above",
        "tests/test_price.py::test_bits_up_to_some_are_free_for_each_neuron",
    ),
    Mutant(
        "vdib/estimator.py",
        "(self.end / self.temperature) ** progress",
        "(self.end / self.temperature) ** (1 - progress)",
        "softened spikes soften",
        "tests/test_price.py::test_softened_spikes_harden_over_a_training",
    ),
    Mutant(
        "vdib/noise.py",
        "torch.cat([half, 1 - half])",
        "torch.cat([half, half])",
        "antithetic codes are the same code",
        "tests/test_low_variance.py::test_disarm_over_several_pairs_and_inputs_is_their_mean",
    ),
    Mutant(
        "vdib/disarm.py",
        "torch.sigmoid(v.detach().abs())",
        "torch.sigmoid(v.detach())",
        "DisARM weighs pairs by the probability of a spike",
        "tests/test_low_variance.py::"
        "test_disarm_is_unbiased_and_varies_less_than_two_independent_codes",
    ),
    Mutant(
        "vdib/vimco.py",
        "others = (to_go.sum(0) - to_go) / (count - 1)",
        "others = to_go.mean(0)",
        "VIMCO compares a code with a bound that holds it",
        "tests/test_low_variance.py::"
        "test_vimco_has_the_gradient_of_its_bound_and_varies_less_for_its_baseline",
    ),
    Mutant(
        "vdib/vimco.py",
        "drawn.by_code(drawn.sampled_costs)",
        "drawn.by_code(drawn.costs)",
        "VIMCO's bound takes the mean of the log-ratio",
        "tests/test_low_variance.py::"
        "test_vimco_has_the_gradient_of_its_bound_and_varies_less_for_its_baseline",
    ),
    Mutant(
        "vdib/relax.py",
        "torch.sigmoid(-v) / (1 - noise), p / noise",
        "torch.sigmoid(-v), p",
        "RELAX does not correct for its control variate",
        "tests/test_low_variance.py::test_relax_is_unbiased_whatever_its_network",
    ),
    Mutant(
        "vdib/neurons/readout.py",
        "layer.feedback = NoFeedback()",
        "pass",
        "a readout without feedback feels its own spikes",
        "tests/test_annealing.py::test_a_readout_without_feedback_by_name",
    ),
    Mutant(
        "vdib/operations.py",
        "own_spikes(layer, own[i], below)[:, :-1] if is_recurrent",
        "own_spikes(layer, own[i], below) if is_recurrent",
        "neurons of a layer are heard after the end",
        "tests/test_energy.py::test_lstm_cells_tell_each_other_a_step_later",
    ),
    Mutant(
        "vdib/operations.py",
        "if is_recurrent else _late(layer, below)",
        "if is_recurrent else below",
        "spikes that are delayed beyond the end cost operations",
        "tests/test_energy.py::test_spikes_that_are_delayed_beyond_the_end_cost_nothing",
    ),
    Mutant(
        "vdib/energy/counts.py",
        "bytes=synops * (3 if arrived.spikes else 4) * word",
        "bytes=synops * word",
        "sums are neither read nor written",
        "tests/test_energy.py::test_what_a_small_dense_network_does_by_hand",
    ),
    Mutant(
        "vdib/energy/costs.py",
        "self.addition if self.synop is None or not on_chip else self.synop",
        "self.addition if self.synop is None else self.synop",
        "a decoder's additions cost what a chip's synapses do",
        "tests/test_energy.py::test_joules_by_hand",
    ),
    Mutant(
        "vdib/energy/decoding.py",
        "binary and i == 0)",
        "binary)",
        "units of a decoder are added like spikes",
        "tests/test_energy.py::test_what_learned_decoders_do_by_hand",
    ),
    Mutant(
        "vdib/export/nir_nodes.py",
        "r = tau / self.dt * gain",
        "r = gain * np.ones_like(tau)",
        "currents of a NIR graph are scaled by dt / tau",
        "tests/test_export.py::test_a_nir_file_read_back_fires_the_same",
    ),
    Mutant(
        "vdib/export/onnx_check.py",
        "torch.logit(noise[0].double()) if noise",
        "0.0 if noise",
        "a drawn spike's distance is that from v = 0",
        "tests/test_export.py::test_an_encoder_step_under_onnxruntime_for_a_thousand_steps",
    ),
    Mutant(
        "vdib/export/twin.py",
        "model.vdib.encoder = twin(own)",
        "model.vdib.encoder = own",
        "the drift of a twin is measured of the model itself",
        "tests/test_export.py::test_the_drift_is_what_the_twin_loses",
    ),
    Mutant(
        "vdib/information/pairs.py",
        "number = np.maximum(counts.sum(1, keepdims=True) - counts, 1)",
        "number = np.maximum(counts.sum(1, keepdims=True), 1)",
        "a mixture of the others counts the sequence itself",
        "tests/test_information.py::test_statistics_of_pairs",
    ),
    Mutant(
        "vdib/information/pairs.py",
        "fed_back = code.logits[..., chosen] - drive",
        "fed_back = 0 * drive",
        "codes of pairs do not hear themselves",
        "tests/test_information.py::test_likelihoods_of_pairs_are_those_of_forced_codes",
    ),
    Mutant(
        "vdib/information/particles.py",
        "        ancestors[:, 0] = 0",
        "        ancestors[:, 0] = ancestors[:, 1]",
        "the conditional filter loses the input that y came from",
        "tests/test_particles.py::test_a_particle_that_is_kept_is_kept",
    ),
    Mutant(
        "vdib/information/particles.py",
        "    log_ratio = log_total - log_g[row, drawn]",
        "    log_ratio = log_total",
        "inputs that a guide proposed are not weighed for it",
        "tests/test_particles.py::test_guides_and_fresh_starts_leave_distributions",
    ),
    Mutant(
        "vdib/information/rows.py",
        "each = 1 - (1 - level) / max(1, len(own))",
        "each = level",
        "the best of many bounds does not pay for the choice",
        "tests/test_information.py::test_the_best_of_many_bounds_pays_for_the_choice",
    ),
    Mutant(
        "vdib/information/of_run.py",
        "set(range(num_readout // 2) if asked is None else asked)",
        "set(range(num_readout // 2))",
        "populations are the halves, whatever neurons are named",
        "tests/test_information_command.py::test_populations_are_the_neurons_that_are_named",
    ),
    Mutant(
        "vdib/information/of_run.py",
        "fit_prior(start, train, validation, seed)",
        "fit_prior(start, code, validation, seed)",
        "priors are fitted to the codes that they are read on",
        "tests/test_of_run.py::test_priors_are_fitted_to_training_codes_and_read_on_test_codes",
    ),
    Mutant(
        "vdib/information/of_run.py",
        "fit_prior(start, train, validation, seed)",
        "fit_prior(start, train, code, seed)",
        "the epoch of a prior is chosen on the codes that it is read on",
        "tests/test_of_run.py::test_priors_are_fitted_to_training_codes_and_read_on_test_codes",
    ),
    Mutant(
        "vdib/information/rows.py",
        "if self.pairs:",
        "if False:",
        "mixtures over the sample have intervals of resamples, which are poorer in mixtures",
        "tests/test_information.py::test_intervals_of_rows_of_pairs_cover_what_they_are_of",
    ),
    Mutant(
        "vdib/information/of_run.py",
        "if count < FEWEST:",
        "if False:",
        "a single sequence bounds information at 95 %",
        "tests/test_of_run.py::test_few_sequences_have_no_intervals",
    ),
    Mutant(
        "vdib/information/told.py",
        'data.targets("train")[:, None]',
        'data.targets("test")[:, None]',
        "the entropy of labels is that of the ones that are decoded",
        "tests/test_of_run.py::test_of_a_label_is_told_what_its_entropy_leaves",
    ),
    Mutant(
        "vdib/information/of_trains.py",
        "for j, part in enumerate(parts) if j != i])",
        "for j, part in enumerate(parts)])",
        "point processes have seen the trains that they are read on",
        "tests/test_of_trains.py::"
        "test_models_are_of_the_other_folds_and_the_seed_says_which_these_are",
    ),
    Mutant(
        "vdib/information/of_trains.py",
        "torch.randperm(count, generator=generator)",
        "torch.randperm(count)",
        "the folds of trains do not follow the seed",
        "tests/test_of_trains.py::"
        "test_models_are_of_the_other_folds_and_the_seed_says_which_these_are",
    ),
    Mutant(
        "vdib/information/of_trains.py",
        "late = delayed(y)",
        "late = y",
        "what comes back from y is told by the same step",
        "tests/test_of_trains.py::test_what_comes_back_from_y_is_of_its_past",
    ),
    Mutant(
        "vdib/information/bounds.py",
        "mean(above), len(above)",
        "mean((above + below) / 2), len(above)",
        "the middle of two filters is called a bound from above",
        "tests/test_particles.py::test_rows_of_filters_lie_on_their_sides_of_the_truth",
    ),
    Mutant(
        "vdib/information/bounds.py",
        "Noise(self.seed, step, rows),",
        "Noise(self.seed, step, rows - rows[0]),",
        "each part of a sample is filtered by the same particles",
        "tests/test_particles.py::test_sequences_are_filtered_alike_in_parts",
    ),
    Mutant(
        "vdib/information/splits.py",
        '"only a": ((1, both), (-1, b)),',
        '"only a": ((1, both), (-1, a)),',
        "what only one population says is what the other does",
        "tests/test_splits.py::test_what_populations_say_alone_together_and_either",
    ),
    Mutant(
        "vdib/information/splits.py",
        "lags(counts[i]) if counts[i] else None",
        "lags(counts[i] + 1) if counts[i] else None",
        "a lag is told with the one before it",
        "tests/test_splits.py::test_a_bit_that_is_copied_late_is_told_at_its_lag",
    ),
    Mutant(
        "vdib/information/rows.py",
        "return max(below) if below else None",
        "return min(below) if below else None",
        "the floor is the weakest bound from below",
        "tests/test_information_rows.py::test_the_floor_is_the_highest_bound_from_below",
    ),
    Mutant(
        "vdib/generate/samples.py",
        'for split in ("train", "validation"))',
        'for split in ("train", "train"))',
        "the prior of a class is measured on the codes that it is fitted to",
        "tests/test_generate_samples.py::test_images_of_a_class_are_of_its_own_codes",
    ),
    Mutant(
        "vdib/generate/drawable.py",
        "*signal.shape)",
        "*signal.shape[::-1])",
        "drawn images are as wide as they should be high",
        "tests/test_generate_samples.py::test_steps_come_before_neurons_and_rows_before_columns",
    ),
    Mutant(
        "vdib/generate/writing.py",
        "LAST_MS if i == len(frames) - 1 else MS",
        "LAST_MS if i == 0 else MS",
        "an animation rests at its beginning",
        "tests/test_generate_samples.py::"
        "test_an_animation_shows_what_has_been_said_so_far_and_stays_at_the_end",
    ),
    Mutant(
        "vdib/tradeoff/report.py",
        'axes.bits: f"bits per',
        'axes.cost: f"bits per',
        "curves are drawn over the rate under the training prior",
        "tests/test_tradeoff_report.py::test_what_is_drawn_is_bits_under_the_best_prior_and_spikes",
    ),
    Mutant(
        "vdib/tradeoff/planning.py",
        "module.cost_name(rate),",
        "rate,",
        "the length of a deterministic code is looked for under a rate",
        "tests/test_tradeoff_report.py::test_axes_are_in_the_unit_of_the_task",
    ),
    Mutant(
        "vdib/figures/information.py",
        "axes.axvline(panel.ceiling,",
        "axes.axvline(2 * panel.ceiling,",
        "the ceiling is drawn too high",
        "tests/test_information_command.py::test_the_figure_shows_bounds_and_the_ceiling",
    ),
    Mutant(
        "vdib/runs/cli.py",
        "        if not figures:\n",
        "        if figures:\n",
        "whoever measures a twin draws its figures over the run's",
        "tests/test_export.py::test_whoever_measures_a_twin_leaves_the_figures_of_the_run",
    ),
    Mutant(
        "vdib/runs/measuring.py",
        "summary = {**_added(earlier, summary, cli.model), **summary}",
        "summary = {**earlier, **summary}",
        "a summary keeps the fits of other weights",
        "tests/test_fitted_priors.py::test_priors_are_added_to_a_finished_run",
    ),
    Mutant(
        "vdib/tradeoff/curves.py",
        "return self.betas.index(job.beta) if job.curve == ANNEALED else 0",
        "return 0",
        "an annealed model begins anew at each beta",
        "tests/test_tradeoff.py::test_an_annealed_model_goes_through_the_betas_in_their_order",
    ),
    Mutant(
        "benchmarks/anytime.py",
        "[1, : len(judged)] += 1",
        "[1] += 1",
        "recordings that have ended count as wrong in later looks",
        "tests/test_anytime_benchmark.py::test_right_ones_are_counted_by_look_and_way",
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
    """Whether the tests pass in a copy of the tree.

    In a fork of this process, which has imported all but the package: seconds less each.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code: int = 99  # whatever goes wrong is no failed test
        try:
            silence = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(silence, stream)
            os.chdir(root)
            os.environ |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
            sys.path[:0] = [str(root), str(root / "tests")]
            for name in [name for name in sys.modules if _of_the_tree(name)]:
                del sys.modules[name]
            code = pytest.main(["-qx", "-p", "no:cacheprovider", *tests])
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, 1):  # no such test, or not to be collected
        raise RuntimeError(f"pytest ended with {code}: {' '.join(tests)}")
    return code == 0


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What at the top is no part of the package: `vdib/runs` is."""
    top = Path(folder) == ROOT
    return {".git", ".venv", "runs", "build", "docs"} & set(names) if top else set()


def _of_the_tree(name: str) -> bool:
    """Whether a module is one of the package or of its tests."""
    file = getattr(sys.modules[name], "__file__", None)
    if name == "__main__":
        return False
    return name.split(".")[0] == "vdib" or (file or "").startswith(f"{ROOT}{os.sep}")


def _import_all() -> None:
    """What tests import and no mutant is made in."""
    for name in (
        *("torch", "pytorch_lightning", "pytorch_lightning.cli", "jsonargparse", "numba"),
        *("torchmetrics.functional.image", "matplotlib.figure", "safetensors.torch"),
    ):
        if find_spec(name.split(".")[0]):
            import_module(name)


def sampled(count: int, day: int) -> list[Mutant]:
    """Some mutants; over the days, all of them."""
    return [MUTANTS[(count * day + i) % len(MUTANTS)] for i in range(count)]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("words", nargs="*", help="of the names of files; all by default")
    parser.add_argument("--table", action="store_true", help="print the table, try nothing")
    parser.add_argument("--sample", type=int, help="so many, whose tests pass without them")
    args = parser.parse_args(words)
    if args.table:
        print(table())
        return 0
    some = [m for m in MUTANTS if not args.words or any(word in m.file for word in args.words)]
    if args.sample:
        some = sampled(args.sample, date.today().toordinal())
    _import_all()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "tree")
        shutil.copytree(ROOT, copy, ignore=_left_out)
        # Of a sample it is known: they are tests of the suite that runs it.
        if not args.sample and not _pytest(copy, *dict.fromkeys(m.test for m in some)):
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
