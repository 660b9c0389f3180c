from statistics import median

import pytest

from seal_runtime.config.hyperparameters import OptimConfig
from seal_runtime.planning.workload import default_workload, training_load


def test_the_default_is_the_published_self_edits_in_numbers():
    found = default_workload()
    counts = [len(profile.lengths) for profile in found.profiles]
    assert median(counts) == 7
    assert found.sequences_an_edit == pytest.approx(9.0, abs=0.3)
    assert found.tokens_an_edit == pytest.approx(449, abs=10)
    assert 60 < max(counts) <= 77
    assert found == default_workload()


@pytest.mark.parametrize(
    ("pad_loss", "rows", "pairs"),
    [
        ("none", 20.0, (100 + 900) / 2),
        ("eos", 21.0, (121 + 961) / 2),
        ("sampled:4", 24.0, (100 + 80 + 900 + 240) / 2),
        ("full", 64.0, (100 + 2 * 54 * 10 + 900 + 2 * 34 * 30) / 2),
    ],
)
def test_padding_is_work_as_far_as_it_is_computed(pad_loss, rows, pairs):
    optim = OptimConfig(epochs=3, batch_size=1, max_length=64).spec(pad_loss=pad_loss)
    load = training_load((10, 30), optim)
    assert (load.num_steps, load.rows, load.pairs) == (6, rows, pairs)


def test_batches_share_a_step_and_fixed_steps_stay_fixed():
    optim = OptimConfig(epochs=3, batch_size=4, max_length=64)
    assert training_load((10,) * 6, optim.spec(pad_loss="none")).num_steps == 6
    assert training_load((10,) * 6, optim.spec(pad_loss="none")).rows == 30.0
    assert training_load((10,) * 6, optim.spec(num_steps=5, pad_loss="none")).num_steps == 5
