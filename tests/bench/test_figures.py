"""Figures of an arm, by hand."""

from dataclasses import replace

import pytest

from seal_runtime.bench.figures import arm_results, equal_answers, seconds_per_edit
from seal_runtime.bench.jobs import spread
from seal_runtime.bench.work import ModelSize, size_of
from seal_runtime.engines.model_loading import load_model

SIZE = ModelSize(num_linear_weights=1000, attention_width=10)


def test_training_arithmetic_is_counted_by_hand():
    # tokens: 3 + 5 = 8, each 4 * 1000 + 6 * 50 = 4300; attention: 6 * 10 * (9 + 25) = 2040
    assert SIZE.training_flops([3, 5], 50) == 8 * 4300 + 2040


def test_the_size_of_a_model_has_every_linear_weight_once():
    size = size_of(load_model("random:tiny-llama").model)
    a_layer = 4 * 64 * 64 + 3 * 64 * 160
    assert size.num_linear_weights == 2 * a_layer + 320 * 64
    assert size.attention_width == 2 * 64


def test_the_time_of_a_part_is_scaled_by_steps_and_questions(jobs, arm_run):
    part = [job for job in jobs if job.num_steps == jobs[0].num_steps][:1]
    train, answer = seconds_per_edit(arm_run(part, train_seconds=2.0, answer_seconds=1.0), jobs)
    assert train == pytest.approx(2.0 * sum(job.num_steps for job in jobs) / part[0].num_steps / len(jobs))
    assert answer == pytest.approx(1.0)


def test_ratios_compare_whole_times(jobs, arm_run):
    serial = {"reference": arm_run(jobs, train_seconds=60.0, answer_seconds=6.0), "PEFT loop, no padding": arm_run(jobs, train_seconds=6.0)}
    reference, loop, ours = arm_results(serial, {4: arm_run(jobs, train_seconds=1.0, answer_seconds=0.5)}, jobs, SIZE, 50)
    assert (reference.times_reference, loop.times_unpadded) == (1.0, 1.0)
    assert ours.times_reference == pytest.approx(66 / 1.5)
    assert ours.times_unpadded == pytest.approx(6 / 1.5)
    assert ours.edits_per_hour == pytest.approx(3600 * 6 / 1.5)
    assert ours.tokens_per_second == sum(sum(job.lengths) * 2 for job in jobs)
    assert ours.useful_tflops == ours.executed_tflops
    assert reference.executed_tflops > 2 * reference.useful_tflops


def test_arms_without_a_reference_have_no_ratio(jobs, arm_run):
    (ours,) = arm_results({}, {1: arm_run(jobs)}, jobs, SIZE, 50)
    assert ours.times_reference is None
    assert ours.times_unpadded is None


def test_equal_answers_are_counted_over_common_edits(jobs, arm_run):
    one = arm_run(jobs, answers={"a": ["x", "y"], "b": ["z"]})
    other = arm_run(jobs, answers={"a": ["x", "n"], "c": ["z"]})
    assert equal_answers(one, other) == (1, 2)
    assert equal_answers(None, other) == (0, 0)


def test_spread_takes_the_middles_of_equal_parts(jobs):
    many = [replace(jobs[0], num_steps=steps) for steps in (5, 1, 9, 3, 7, 2)]
    assert [job.num_steps for job in spread(many, 2)] == [2, 7]
    assert [job.num_steps for job in spread(many, 1)] == [5]
    assert spread(many, 6) == many


def test_tokens_of_a_job_count_every_epoch_and_no_padding(jobs):
    job = jobs[0]
    assert job.num_tokens == 2 * sum(job.lengths)
    assert job.num_steps == 2 * len(job.lengths)
    assert job.num_padded_tokens == job.num_steps * 128
