"""Commands that together exercise every option of every group, each in a second or two.

Slots are dense with spirals, feature maps with digits, and sequences with text.
`adaptation=add_layer` germinates several seeds of a slot at once, so that one run tries as many
blueprints as a slot has seeds.
"""

LAVISH = "safety.max_cost=99"
"""Kernels are large beside these networks, and nine of them are tried at once."""
DENSE = f"data=spirals data.num_samples=300 model=mlp training.steps_per_epoch=8 {LAVISH}"
MAPS = f"data=digits data.val_fraction=0.1 model=cnn training.steps_per_epoch=4 {LAVISH}"
TOKENS = (
    "data=text data.max_windows=40 data.context=16 data.batch_size=8 model=transformer "
    f"training.steps_per_epoch=4 {LAVISH}"
)
COLD = "store.prior=none"
"""Only rewards of the run itself, and of its store, are known."""
EARLY = "policy=schedule policy.fractions=[0.08] policy.seeds_per_adaptation=1"
EVERY = (
    "epochs=10 policy=schedule policy.fractions=[0.08] policy.seeds_per_adaptation=9 "
    "policy.adaptation=add_layer blueprint=all model.num_seeds=9"
)
OFTEN = (
    "epochs=16 policy=schedule policy.fractions=[0.08,0.15,0.22,0.29,0.36,0.43,0.5] "
    "policy.embargo_epochs_after_cull=0 policy.max_live_seeds_per_slot=4 "
    "viability.max_concurrent_seeds=4 viability.min_dormant_epochs=0 "
    "orchestrator.adaptation_cooldown_epochs=0"
)
"""Grows as often as possible, so that a strategy has choices."""

CASES: dict[str, str] = {
    # every blueprint, in every kind of slot and in every placement
    "dense_series": f"{DENSE} {EVERY} model.placement=series orchestrator=ensemble",
    "dense_parallel": f"{DENSE} {EVERY} model.placement=parallel growth.ramp=cosine",
    "maps_series": f"{MAPS} {EVERY} model.placement=series reward=gain",
    "maps_parallel": f"{MAPS} {EVERY} model=resnet model.placement=parallel",
    "tokens_series": f"{TOKENS} {EVERY} model.placement=series",
    "tokens_parallel": (
        f"{TOKENS} {EVERY} model.placement=parallel data.path=../book.txt reward=sparse"
    ),
    "photographs": (
        f"data=cifar10 data.path=../images data.image_size=8 data.max_samples=60 epochs=10 {EARLY} "
        "model=cnn model.channels=[8,8] training.steps_per_epoch=4"
    ),
    "standard": f"{DENSE} epochs=10 {EARLY} blueprint=standard training.optimizer=adam",
    # orchestrators
    "auto": f"{DENSE} epochs=10 {EARLY} orchestrator=auto policy.seeds_per_adaptation=2",
    "diversify": (
        f"{DENSE} epochs=10 {EARLY} orchestrator=diversify policy.seeds_per_adaptation=2 "
        "orchestrator.initial_blend=0.5 reward.clock=wall"
    ),
    "replace": (
        # Replaced when it was measured, at age 4, and not kept yet.
        f"{DENSE} epochs=16 policy=schedule policy.fractions=[0.06,0.31] orchestrator=replace "
        "policy.price=0 attribution.min_gain=0.99 "
        "orchestrator.min_performance_threshold=1 orchestrator.adaptation_cooldown_epochs=0 "
        "training.schedule=constant"
    ),
    "specialize": (
        f"{DENSE} epochs=16 policy=schedule policy.fractions=[0.06,0.19] orchestrator=specialize "
        "orchestrator.adaptation_cooldown_epochs=0 policy.cull_if_accuracy_drops_by=1 "
        "training.schedule=cosine"
    ),
    # policies
    "never": f"{DENSE} epochs=4 policy=never",
    "planner": f"{DENSE} epochs=12 policy=planner policy.path=../gains",
    "gnn": f"{DENSE} epochs=12 policy=gnn",
    "hierarchical": f"{DENSE} epochs=12 policy=hierarchical policy.path=../gains",
    "actor_critic": f"{DENSE} epochs=4 policy=actor_critic",
    "random_policy": f"{DENSE} epochs=12 policy=random policy.events=2",
    "fractions": (
        f"{DENSE} epochs=12 policy=heuristic policy.trigger=fractions blueprint=light device=cpu"
    ),
    "slope": (
        f"{DENSE} epochs=14 policy=heuristic policy.trigger=slope policy.slope_window=1 "
        "training.optimizer=sgd training.lr=0.1"
    ),
    "plateau": (
        f"{DENSE} epochs=14 policy=heuristic policy.trigger=plateau "
        "policy.plateau_epochs_to_germinate=1 policy.min_epochs_before_germinate=0 "
        "signals.plateau_threshold=0.99"
    ),
    "jump": f"{DENSE} epochs=6 policy=heuristic policy.trigger=jump",
    # growth
    "slow_ramp": (
        f"{DENSE} epochs=12 {EARLY} growth.ramp=sigmoid growth.blending_epochs=3 "
        "attribution.looks=[6,8] policy.cull_if_accuracy_drops_by=1"
    ),
    "ablation": f"{DENSE} epochs=10 {EARLY} attribution.method=ablation",
    # Without a kernel that would be worth the price, each trial ends with a cull.
    "twin": f"{DENSE} epochs=10 {EARLY} attribution.method=twin policy.price=1",
    "on_cull_twin": (
        f"{DENSE} epochs=10 {EARLY} attribution.method=twin policy.price=1 growth.on_cull=twin"
    ),
    "wider": (
        "data=digits model=mlp model.hidden=[4] training.lr=0.05 training.schedule=constant "
        f"growth.widen=auto growth.birth=preserving epochs=14 {EARLY} {LAVISH}"
    ),
    "calendar": f"{DENSE} epochs=10 {EARLY} policy.adaptation=widen training.schedule=constant",
    "open": f"{DENSE} epochs=auto budget=500KFLOPs",
    "frozen": f"{DENSE} epochs=10 {EARLY} training.freeze_host=true training.warmup_epochs=1",
    "last": f"{DENSE} epochs=10 {EARLY} run.read_out=last",
    # the rest
    "custom": (
        f"epochs=8 training.steps_per_epoch=4 {EARLY} {LAVISH} data=digits model=custom "
        "model.factory=mine:build logger=tensorboard"
    ),
    "store": f"{DENSE} epochs=10 {EARLY} {COLD} store=sqlite store.path=../ledger.db",
    "redis": f"{DENSE} epochs=10 {EARLY} store=redis logger=redis logger.stream=case",
}
"""Overrides by case; all run with `logger=none` unless they name another logger."""

STRATEGIES = (
    "ucb",
    "thompson",
    "epsilon_greedy",
    "performance_weighted",
    "sliding_ucb",
    "exp3",
    "linucb",
    "linthompson",
    "neural",
    "fixed",
    "random",
    "round_robin",
)
SWEEP = f"{DENSE} {OFTEN} {COLD} strategy={','.join(STRATEGIES)}"
"""A sweep; the job of strategy `ucb` is the case `strategy_ucb`, and so on."""

AGAIN = f"{CASES['store']} rng_seed=1"
"""A second run, which starts from the ledger of the first one."""

SNAPSHOT = f"{DENSE} epochs=10 {EARLY} {COLD} rng_seed=1 store=snapshot store.path="
"""The second run again, from its snapshot of the ledger; its folder is appended to this."""

SERVED = "served.json"
"""What the server of the case `redis` held in the end."""

OWN_NETWORK = """
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.bend = nn.GELU()

    def forward(self, x):
        return x + self.bend(self.inner(x))


def build(spec):
    width = 16
    pixels = spec.input_shape[0] * spec.input_shape[1] * spec.input_shape[2]
    return nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, width), Block(width), nn.Linear(width, spec.num_classes)
    )
"""

COVERED: dict[str, dict[str, str]] = {
    "data": {
        "digits": "maps_series",
        "spirals": "dense_series",
        "text": "tokens_parallel",
        "cifar10": "photographs",
    },
    "model": {
        "mlp": "dense_series",
        "cnn": "maps_series",
        "resnet": "maps_parallel",
        "transformer": "tokens_series",
        "custom": "custom",
    },
    "blueprint": {"standard": "standard", "light": "fractions", "all": "maps_series"},
    "strategy": {name: f"strategy_{name}" for name in STRATEGIES},
    "orchestrator": {
        "auto": "auto",
        "replace": "replace",
        "diversify": "diversify",
        "specialize": "specialize",
        "ensemble": "dense_series",
    },
    "policy": {
        "heuristic": "fractions",
        "planner": "planner",
        "gnn": "gnn",
        "hierarchical": "hierarchical",
        "actor_critic": "actor_critic",
        "never": "never",
        "random": "random_policy",
        "schedule": "standard",
    },
    "reward": {"multi_metric": "strategy_ucb", "gain": "maps_series", "sparse": "tokens_parallel"},
    "training": {"default": "standard"},
    "logger": {"wandb": "wandb", "tensorboard": "custom", "redis": "redis", "none": "standard"},
    "store": {"memory": "standard", "sqlite": "store", "redis": "redis", "snapshot": "snapshot"},
}
"""The case that exercises each option; `wandb` is the default run, which other tests cover."""
