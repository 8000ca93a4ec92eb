from esper.kernels.kernel import weight_seed


def test_every_place_and_time_has_weights_of_its_own_and_the_same_in_every_process() -> None:
    keys = [(0, "a", 0, 1), (1, "a", 0, 1), (0, "b", 0, 1), (0, "a", 1, 1), (0, "a", 0, 2)]
    seeds = [weight_seed(*key) for key in keys]
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    # blake2b of "0/block1/0/1", 8 bytes, halved: the same in every process and release.
    assert weight_seed(0, "block1", 0, 1) == 5448720686041238464
