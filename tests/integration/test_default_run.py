"""`esper train` without options: a network grows, keeps what helped and culls what did not."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

import esper
from esper.contracts.stage import LIVE, SeedStage
from tests.integration.harness import Done, Json, Run, is_rising

EPOCHS = 40
LEAD_TO_FOSSIL = [
    "GERMINATED",
    "TRAINING",
    "BLENDING",
    "SHADOWING",
    "PROBATIONARY",
    "FOSSILIZED",
]
AIMING = ("germinate", "retarget")
"""The changes that give a seed an alpha target."""


@pytest.fixture(scope="module")
def run(default_done: Done) -> Run:
    return default_done.run


def seed_lines(run: Run, slot: str, seed: int) -> list[Json]:
    """Return what the epochs' lines say of one seed."""
    every = [each for line in run.metrics for each in line["seeds"]]
    return [each for each in every if (each["slot"], each["seed"]) == (slot, seed)]


def story(run: Run, slot: str, seed: int) -> list[str]:
    """Return the stages that a seed entered, in order."""
    moves = run.of("lifecycle")
    return [move["to_stage"] for move in moves if (move["slot"], move["seed"]) == (slot, seed)]


def changes_of(run: Run, slot: str, seed: int) -> list[Json]:
    """Return what plans changed of one seed, in order, each change with its epoch."""
    return [
        {**change, "epoch": plan["epoch"]}
        for plan in run.of("plan")
        for change in plan["changes"]
        if (plan["slot"], change["seed"]) == (slot, seed)
    ]


def test_a_seed_is_kept_and_a_seed_is_culled(run: Run) -> None:
    assert run.moves("FOSSILIZED")
    assert run.moves("CULLED")
    assert run.summary["seeds_fossilized"] == len(run.moves("FOSSILIZED"))
    assert run.summary["seeds_culled"] == len(run.moves("CULLED"))
    assert run.summary["seeds_germinated"] == len(run.moves("GERMINATED"))


def test_a_kept_seed_went_through_every_stage_in_order(run: Run) -> None:
    for kept in run.moves("FOSSILIZED"):
        stages = story(run, kept["slot"], kept["seed"])
        assert stages[-len(LEAD_TO_FOSSIL) :] == LEAD_TO_FOSSIL


def test_a_culled_seed_rests_and_comes_back_with_another_blueprint(run: Run) -> None:
    rest = ["CULLED", "EMBARGOED", "RESETTING", "DORMANT"]
    early = [move for move in run.moves("CULLED") if move["epoch"] < EPOCHS - 6]
    assert early
    for cull in early:
        moves = run.of("lifecycle")
        later = [
            move
            for move in moves[moves.index(cull) :]
            if (move["slot"], move["seed"]) == (cull["slot"], cull["seed"])
        ]
        assert [move["to_stage"] for move in later[:4]] == rest
        changes = changes_of(run, cull["slot"], cull["seed"])
        at_once = [each for each in changes if each["epoch"] == cull["epoch"]]
        # The rest is left out if one plan culls the seed and germinates it again.
        is_replaced = [each["action"] for each in at_once] == ["cull", "germinate"]
        assert later[3]["epoch"] == cull["epoch"] + (0 if is_replaced else 5)
        assert is_replaced == any(move["epoch"] == cull["epoch"] for move in later[4:])
        for move in later[4:5]:
            assert move["to_stage"] == "GERMINATED"
            assert move["blueprint"] != cull["blueprint"]


def test_alpha_rises_from_nothing_to_its_target_and_stays(run: Run) -> None:
    for kept in run.moves("FOSSILIZED"):
        alphas = [line["alpha"] for line in seed_lines(run, kept["slot"], kept["seed"])]
        # The seed may have held other kernels before; each starts at 0.
        others = [i for i in range(1, len(alphas)) if alphas[i] < alphas[i - 1]]
        alphas = alphas[max(others, default=0) :]
        assert alphas[0] == 0.0
        aims = [c for c in changes_of(run, kept["slot"], kept["seed"]) if c["action"] in AIMING]
        assert alphas[-1] == aims[-1]["alpha_target"]
        assert is_rising(alphas)
        kept_for = EPOCHS - kept["epoch"]
        assert set(alphas[-1 - kept_for :]) == {alphas[-1]}


def test_a_seed_has_no_influence_while_it_learns_alone(run: Run) -> None:
    every = [seed for line in run.metrics for seed in line["seeds"]]
    alone = [seed for seed in every if seed["stage"] == "TRAINING"]
    assert alone
    assert {seed["alpha"] for seed in alone} == {0.0}


def test_the_saved_network_holds_the_kept_kernels_at_their_alpha_and_no_other(run: Run) -> None:
    with safe_open(str(run.path / "network.safetensors"), framework="pt") as file:
        kernels = json.loads(file.metadata()["esper"])["kernels"]
        kept = [
            (move["slot"], move["seed"], move["blueprint"])
            for move in run.moves("FOSSILIZED")
            if move["epoch"] < run.summary["read_out_epoch"]
        ]
        saved = [tuple(kernel[key] for key in ("slot", "seed", "blueprint")) for kernel in kernels]
        assert sorted(saved) == sorted(kept)
        for slot, seed, _ in kept:
            alpha = file.get_tensor(f"{slot}.esper_kernels.alpha_{seed}")
            assert alpha.equal(alpha.new_tensor(seed_lines(run, slot, seed)[-1]["alpha"]))


def test_parameters_follow_every_germination_and_every_cull(run: Run) -> None:
    kernels = [(each["epoch"], each["parameters"]) for each in run.of("kernel")]
    culls = run.moves("CULLED")
    for line in run.metrics:
        came = sum(size for epoch, size in kernels if epoch <= line["epoch"])
        went = sum(
            next(
                kernel["parameters"]
                for kernel in reversed(run.of("kernel"))
                if all(kernel[key] == cull[key] for key in ("slot", "seed", "blueprint"))
                and kernel["epoch"] <= cull["epoch"]
            )
            for cull in culls
            if cull["epoch"] <= line["epoch"]
        )
        assert line["params"] == run.summary["params_initial"] + came - went
    grown = sum(kernel["parameters"] for kernel in run.summary["grown"])
    assert run.summary["params_final"] == run.summary["params_initial"] + grown
    assert grown > 0
    assert max(line["params"] for line in run.metrics) > run.summary["params_final"]


def test_live_seeds_are_counted_as_the_stages_say(run: Run) -> None:
    for line in run.metrics:
        live = [seed for seed in line["seeds"] if SeedStage(seed["stage"]) in LIVE]
        assert line["live_seeds"] == len(live)
    assert run.metrics[-1]["live_seeds"] == 0


def test_flops_count_kernels_and_trials_and_stay_within_the_limit(run: Run) -> None:
    flops = [line["flops"] for line in run.metrics]
    assert sum(flops) == run.summary["train_flops"]
    first = min(move["epoch"] for move in run.moves("GERMINATED"))
    bare = flops[0]
    assert set(flops[:first]) == {bare}
    assert flops[first] > bare
    # No kernel is live after the last step, so that it costs what the network costs.
    assert sum(flops) <= 1.3 * EPOCHS * flops[-1]


def test_the_verdicts_follow_what_was_measured(run: Run) -> None:
    # A kept kernel is judged again later; its verdict was taken once.
    verdicts = [each["outcome"] for each in run.of("reward") if not each["epochs_after_keeping"]]
    assert len(verdicts) == run.summary["seeds_fossilized"] + run.summary["seeds_culled"]
    for outcome in verdicts:
        if outcome["fossilized"]:
            assert outcome["gain"] > max(0.005, 1.7 * outcome["gain_error"])
    succeeded = [outcome for outcome in verdicts if (outcome["gain"] or 0) > 0]
    assert run.summary["adaptations_succeeded"] == len(succeeded)


def test_the_last_words_tell_what_became_of_it(default_done: Done) -> None:
    summary, said = default_done.run.summary, default_done.out
    assert default_done.err == ""
    assert f"test accuracy {100 * summary['test_accuracy']:.1f} %" in said
    tried, culled = summary["seeds_germinated"], summary["seeds_culled"]
    assert f"{culled} of {tried} trials culled" in said
    assert str(default_done.run.path.relative_to(default_done.cwd)) in said
    assert len([line for line in said.splitlines() if f"/{EPOCHS} " in line]) == EPOCHS


def test_the_network_read_back_is_the_one_that_was_tested(run: Run) -> None:
    loaded = esper.load_run(run.path)
    test = loaded.config.data.load().test
    hits = loaded.network()(test.x).argmax(dim=1) == test.y
    assert hits.float().mean().item() == pytest.approx(run.summary["test_accuracy"], abs=1e-6)
    assert list(loaded.metrics) == run.metrics
    assert repr(loaded) == f"LoadedRun({loaded.path}, epochs {EPOCHS}, finished)"


def test_a_run_never_leaves_its_folder(default_done: Done, run: Run) -> None:
    found = {path.relative_to(default_done.cwd).parts[0] for path in default_done.cwd.iterdir()}
    assert found <= {"runs", "wandb-config", "wandb-cache"}
    assert Path(run.path).parent == default_done.cwd / "runs" / "train"
