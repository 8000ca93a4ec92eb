"""A host that does not fit its data is refused before anything is trained."""

import pytest
import torch
from torch import nn

from esper.contracts.errors import ConfigError
from esper.model.fit import check_fit

X = torch.zeros(2, 3)


def test_a_host_that_fits_is_left_as_it_was() -> None:
    host = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before = torch.get_rng_state()
    check_fit(host, X, (2, 4))
    assert host.training
    assert host[1].num_batches_tracked == 0
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (nn.Linear(5, 4), r"does not take a batch of shape \(2, 3\): RuntimeError: mat1"),
        (nn.Linear(3, 7), r"scores of shape \(2, 4\), .* gives \(2, 7\)"),
        (nn.LSTM(3, 4), "gives tuple"),
        (nn.Linear(3, 4).requires_grad_(False), "Linear.* has no weight that can be trained"),
        (nn.Identity(), "no weight"),
    ],
)
def test_a_host_that_does_not_fit_is_refused(host: nn.Module, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_fit(host, X, (2, 4))
