"""First-order scores become prior means."""

from esper.strategy.prior import Prior, first_order_priors


def test_the_rank_among_the_arms_on_offer_is_the_mean() -> None:
    priors = first_order_priors({3: 1e-6, 0: 50.0, 2: 2.0}, weight=2.0)
    assert priors == {
        3: Prior(1e-6, 0.0, 2.0),
        2: Prior(2.0, 0.5, 2.0),
        0: Prior(50.0, 1.0, 2.0),
    }


def test_equal_scores_share_their_ranks_and_a_single_one_says_nothing() -> None:
    shared = first_order_priors({0: 1.0, 1: 2.0, 2: 2.0, 3: 9.0, 4: 9.0}, weight=1.0)
    assert [shared[seed].mean for seed in range(5)] == [0.0, 0.375, 0.375, 0.875, 0.875]
    assert first_order_priors({4: 3.0}, weight=1.0) == {4: Prior(3.0, 0.5, 1.0)}
    assert first_order_priors({}, weight=1.0) == {}
