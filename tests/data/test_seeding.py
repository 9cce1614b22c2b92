import pytest

from convgraft.data.seeding import derived_seed, shuffled
from convgraft.errors import DataError


def test_an_order_is_a_permutation_fixed_by_its_numbers():
    assert sorted(shuffled(100, 3, 4).tolist()) == list(range(100))
    assert shuffled(100, 3, 4).tolist() == shuffled(100, 3, 4).tolist()
    assert shuffled(100, 3, 4).tolist() != shuffled(100, 4, 3).tolist()
    assert shuffled(0, 1).tolist() == []


def test_the_order_never_changes():
    # Splits and epochs rest on these: another order is a change of every recorded result.
    assert shuffled(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert derived_seed(1, 2, 3) == 6498626229777268288


def test_derived_seeds_fit_torch_and_differ():
    seeds = {derived_seed(0, epoch, row) for epoch in range(10) for row in range(10)}
    assert len(seeds) == 100
    assert 0 <= min(seeds) <= max(seeds) < 2**63


def test_a_negative_number_is_refused():
    with pytest.raises(DataError, match="the seed -1 is negative"):
        shuffled(3, -1)
