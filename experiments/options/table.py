"""The table of all options: the value other than the default, the command, the field that differs.

Each block is a command and its rows, `key value field`; see `Row`.  Keys that are in no block are
in `exempt.py`, with the reason.
"""

from experiments.options.row import Row
from experiments.options.tasks import DENSE, SLOTS, TASKS

GROWS = f"{DENSE} epochs=24"
LASTS = f"{DENSE} epochs=60"
HARMS = (
    "data=spirals data.num_samples=2000 data.noise=0.3 data.val_fraction=0.4 model=mlp "
    "model.hidden=[64,64] training.lr=0.03 epochs=24"
)
"""Noise that a network learns by heart, so that its accuracy falls after a germination."""

WIDENS = (
    "model=mlp model.hidden=[4] training.lr=0.05 training.schedule=constant policy=never epochs=14"
)
"""A network that is soon too small."""
KEEPS = "data=spirals model=mlp epochs=40"
"""A small network, which keeps a kernel."""
REPEATS = (
    f"{DENSE} epochs=80 blueprint.names=[affine,mlp,lora] policy=schedule "
    "policy.fractions=[0.02,0.07,0.15,0.22,0.3,0.37,0.45,0.52] policy.embargo_epochs_after_cull=0 "
    "policy.max_live_seeds_per_slot=4 viability.max_concurrent_seeds=4"
)
"""Few blueprints, which are tried several times and then compete."""

CHOICES = {
    GROWS: """
        strategy/ucb.exploration_constant             0.5   events.selection.score
        strategy/ucb.first_order_weight               0     events.selection.score
        strategy/thompson.prior_alpha                 3     events.selection.score
        strategy/thompson.prior_beta                  3     events.selection.score
        strategy/thompson.first_order_weight          0     events.selection.score
        strategy/epsilon_greedy.epsilon               1     events.selection.seed
        strategy/epsilon_greedy.first_order_weight    0     events.selection.score
        strategy/performance_weighted.first_order_weight  0  events.selection.score
        strategy/sliding_ucb.exploration_constant     0.5   events.selection.score
        strategy/sliding_ucb.first_order_weight       0     events.selection.score
        strategy/exp3.exploration                     0.9   events.selection.score
        strategy/exp3.first_order_weight              0     events.selection.score
        strategy/linucb.alpha                         3     events.selection.score
        strategy/linucb.first_order_weight            0     events.selection.score
        strategy/linthompson.scale                    3     events.selection.score
        strategy/linthompson.first_order_weight       0     events.selection.score
        strategy/neural.scale                         3     events.selection.score
        strategy/neural.first_order_weight            0     events.selection.score
        strategy/linucb.reads_health                  true  events.selection.score
        strategy/linthompson.reads_health             true  events.selection.score
        orchestrator/auto.adaptation_cooldown_epochs  4     events.decision.reason
        orchestrator/auto.initial_blend               0.5   events.plan.changes
        orchestrator/diversify.initial_blend          0.5   events.plan.changes
        orchestrator/specialize.initial_blend         0.3   events.plan.changes
        orchestrator/diversify.adaptation_cooldown_epochs   4  events.decision.reason
        orchestrator/specialize.adaptation_cooldown_epochs  4  events.decision.reason
        orchestrator/ensemble.adaptation_cooldown_epochs    4  events.decision.reason
        orchestrator/replace.adaptation_cooldown_epochs     4  events.decision.reason
        reward/multi_metric.accuracy_weight           2     events.reward.reward.total
        reward/multi_metric.speed_weight              0     events.reward.reward.total
        reward/multi_metric.memory_weight             0     events.reward.reward.total
        reward/multi_metric.stability_weight          0     events.reward.reward.total
        reward/multi_metric.cost_weight               0     events.reward.reward.total
        reward/multi_metric.risk_weight               0     events.reward.reward.total
        reward/multi_metric.immediate_weight          0.1   events.reward.reward.total
        reward/multi_metric.short_weight              0.1   events.reward.reward.total
        reward/multi_metric.medium_weight             0.1   events.reward.reward.total
        reward/multi_metric.long_weight               0.5   events.reward.reward.total
        reward/multi_metric.gain_unit                 0.1   events.reward.reward.total
        reward/multi_metric.scale                     1     events.reward.reward.total
        reward/multi_metric.clock                     wall  events.reward.reward.total
        reward/gain.credit                            accuracy  events.reward.reward.total
        reward/gain.scale                             1     events.reward.reward.total
        reward/sparse.scale                           1     events.reward.reward.total
        store/memory.prior                            none  events.selection.score
        store/sqlite.prior                            none  events.selection.score
    """,
    f"{LASTS} rng_seed=1": """
        strategy/sliding_ucb.latest_size              1     events.selection.alternatives
        strategy/epsilon_greedy.decay_rate            0.01  events.selection.alternatives
    """,
    REPEATS: """
        strategy/performance_weighted.temperature     0.1   events.selection.score
        strategy/performance_weighted.window_size     1     events.selection.score
        strategy/performance_weighted.decay_factor    0.1   events.selection.score
        strategy/neural.reads_health                  false  events.selection.score
    """,
    f"{GROWS} policy=schedule": """
        orchestrator/replace.min_performance_threshold  1   events.plan.changes
        orchestrator/specialize.alpha_step            0.4   events.plan.changes
    """,
}
"""Options of what is tried, and of what a trial is worth."""

POLICIES = {
    KEEPS: """
        policy/heuristic.confidence_to_fossilize      1     events.decision.reason
        policy/schedule.confidence_to_fossilize       1     events.decision.reason
        policy/heuristic.embargo_epochs_after_cull    15    events.decision.reason
    """,
    GROWS: """
        policy/heuristic.slope_share                  0.9   events.decision.reason
        policy/heuristic.idle_epochs                  2     events.decision.reason
        policy/heuristic.trigger                      slope  events.decision.reason
        policy/heuristic.plateau_epochs_to_germinate  1     events.decision.urgency
        policy/heuristic.adaptation                   add_neurons  events.decision.adaptation
        policy/heuristic.seeds_per_adaptation         1     events.decision.num_seeds
        policy/heuristic.grow_until                   0.2   events.decision.reason
        policy/heuristic.price                        0.1   events.decision.reason
        policy/heuristic.min_improvement_to_fossilize  0.5  events.decision.reason
        policy/heuristic.penalty_per_cull             1     events.policy_update.values
        policy/heuristic.penalty_decay                0     events.policy_update.values
        policy/heuristic.penalty_floor                2.2   events.policy_update.values
        policy/heuristic.penalty_limit                1     events.selection.reason
        policy/random.events                          1     events.decision.reason
        policy/random.embargo_epochs_after_cull       0     events.decision.reason
        policy/random.max_live_seeds_per_slot         1     events.decision.reason
        policy/random.adaptation                      add_layer  events.decision.adaptation
        policy/random.seeds_per_adaptation            1     events.decision.num_seeds
        policy/random.grow_until                      0.2   events.decision.reason
        policy/random.price                           0.1   events.decision.reason
        policy/random.min_improvement_to_fossilize    0.5   events.decision.reason
        policy/random.confidence_to_fossilize         1     events.decision.reason
        policy/schedule.fractions                     [0.3]  events.decision.reason
        policy/schedule.embargo_epochs_after_cull     0     events.decision.reason
        policy/schedule.max_live_seeds_per_slot       1     events.decision.reason
        policy/schedule.adaptation                    add_layer  events.decision.adaptation
        policy/schedule.seeds_per_adaptation          1     events.decision.num_seeds
        policy/schedule.grow_until                    0.1   events.decision.reason
        policy/schedule.price                         0.1   events.decision.reason
        policy/schedule.min_improvement_to_fossilize  0.5   events.decision.reason
    """,
    f"{GROWS} policy=planner": """
        policy/planner.threshold                      1     events.decision.reason
        policy/planner.caution                        50    events.decision.reason
        policy/planner.price                          0.5   events.decision.reason
        policy/planner.grow_until                     0.1   events.decision.reason
        signals.probe_every                           9     events.decision.reason
    """,
    "epochs=40 policy=planner": """
        policy/planner.seeds_per_adaptation           1     events.decision.num_seeds
        safety.max_uncertainty                        0     events.safety.reason
        policy/planner.embargo_epochs_after_cull      0     events.decision.reason
        policy/planner.max_live_seeds_per_slot        3     events.decision.reason
        policy/planner.min_improvement_to_fossilize   0.5   events.decision.reason
        policy/planner.confidence_to_fossilize        1     events.decision.reason
    """,
    f"{GROWS} policy=gnn": """
        policy/gnn.threshold                          1     events.decision.reason
        policy/gnn.caution                            50    events.decision.reason
        policy/gnn.price                              0.5   events.decision.reason
        policy/gnn.grow_until                         0.1   events.decision.reason
    """,
    "epochs=40 policy=gnn": """
        policy/gnn.seeds_per_adaptation               1     events.decision.num_seeds
        policy/gnn.embargo_epochs_after_cull          0     events.decision.reason
        policy/gnn.max_live_seeds_per_slot            3     events.decision.reason
        policy/gnn.min_improvement_to_fossilize       0.5   events.decision.reason
        policy/gnn.confidence_to_fossilize            1     events.decision.reason
    """,
    HARMS: """
        policy/schedule.cull_if_accuracy_drops_by     1     events.lifecycle.reason
        policy/schedule.cull_after_epochs_without_improvement  9  events.lifecycle.reason
    """,
    f"{GROWS} policy.trigger=plateau": """
        policy/heuristic.min_epochs_before_germinate  8     events.decision.reason
    """,
    f"{GROWS} policy.trigger=slope": """
        policy/heuristic.slope_window                 1     events.decision.reason
        policy/heuristic.slope_threshold              0.9   events.decision.reason
        signals.history_window                        2     events.decision.reason
    """,
    f"{GROWS} policy.trigger=fractions": """
        policy/heuristic.max_live_seeds_per_slot      3     events.decision.reason
        policy/heuristic.fractions                    [0.3]  events.decision.reason
    """,
}
"""Options of when to grow, and of verdicts."""

CONTROL = {
    KEEPS: """
        safety.min_confidence          1       events.safety.reason
    """,
    GROWS: """
        viability.min_dormant_epochs   10      events.lifecycle.epoch
        viability.max_concurrent_seeds 1       events.selection.reason
        growth.ramp                    cosine  metrics.train_loss
        growth.isolation_lr_factor     1       metrics.train_loss
        growth.lr_factor               2       metrics.train_loss
        growth.warmup_epochs           2       metrics.train_loss
        growth.shadowing_epochs        1       events.lifecycle.epoch
        growth.divergence_factor       1       events.lifecycle.reason
        attribution.method             twin    events.performance.method
        attribution.mute_probability   0.2     metrics.train_loss
        attribution.looks              [4]     events.performance.age
        attribution.min_gain           0.5     events.decision.reason
        attribution.standard_errors    9       events.decision.reason
        run.read_out                   last    summary.test_loss
        run.average                    0       summary.test_loss
        kernels.max_flops              0       events.kernel.blueprint
        safety.max_adaptations_per_epoch 0     events.safety.reason
        safety.max_changes_per_epoch   1       events.safety.reason
        safety.max_live_seeds          1       events.safety.reason
        safety.max_events              1       events.decision.reason
        safety.max_risk                0.1     events.safety.reason
        safety.max_cost                1       summary.cost_ratio
        safety.parameter_budget        4600    events.safety.reason
        safety.memory_budget_mb        0.1     events.selection.reason
    """,
    f"{GROWS} policy.trigger=plateau": """
        signals.plateau_threshold      0.5     events.decision.reason
        signals.plateau_smoothing      0       events.decision.reason
    """,
    f"{GROWS} attribution.looks=[6,9]": """
        growth.training_epochs         2       metrics.train_loss
        growth.blending_epochs         2       metrics.train_loss
    """,
    WIDENS: """
        growth.widen                   auto    metrics.params
    """,
    f"{WIDENS} growth.widen=auto": """
        growth.birth                   preserving  metrics.val_loss
    """,
    f"{GROWS} attribution.method=twin": """
        growth.on_cull                 twin    metrics.val_loss
    """,
}
"""Options of how a kernel grows and is measured, and of what is allowed."""


def _rows(table: dict[str, str]) -> list[Row]:
    """Return the rows of blocks."""
    lines = [(base, line) for base, text in table.items() for line in text.strip().splitlines()]
    split = ((base, *line.split()) for base, line in lines)
    return [Row(key=key, other=other, base=base, field=field) for base, key, other, field in split]


ROWS = [row for table in (TASKS, SLOTS, CHOICES, POLICIES, CONTROL) for row in _rows(table)]
