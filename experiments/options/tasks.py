"""The blocks of the table about options of the task, its training, and its slots; see `table`."""

DENSE = (
    "data=spirals data.num_samples=300 model=mlp model.hidden=[64,64] training.steps_per_epoch=8"
)
"""A network in which kernels are small enough for the default limit of costs."""

TASKS = {
    "data=spirals data.num_samples=300 model=mlp training.steps_per_epoch=4 epochs=2": """
        epochs               3      metrics.epoch
        rng_seed             1      metrics.val_loss
    """,
    "data=spirals model=mlp epochs=12": """
        experiment           smoke  metrics.flops
    """,
    "training.steps_per_epoch=4 epochs=1": """
        data/digits.batch_size       16        metrics.train_loss
        data/digits.val_fraction     0.3       metrics.val_loss
        data/digits.test_fraction    0.3       summary.test_loss
        data/digits.split_seed       1         metrics.val_loss
        model/cnn.hidden             [2,8]     summary.params_initial
        model/cnn.channels           [8,8]     summary.params_initial
        model/cnn.width              2         summary.params_initial
        model/resnet.width           2         summary.params_initial
        model/resnet.channels        [8,8]     summary.params_initial
        model/resnet.blocks          2         summary.params_initial
        model/resnet.norm            batch     metrics.val_loss
    """,
    "model=mlp training.steps_per_epoch=4 epochs=1": """
        data/spirals.batch_size      16        metrics.train_loss
        data/spirals.val_fraction    0.3       metrics.val_loss
        data/spirals.test_fraction   0.3       summary.test_loss
        data/spirals.split_seed      1         metrics.val_loss
        data/spirals.num_samples     600       metrics.val_loss
        data/spirals.num_classes     4         metrics.val_loss
        data/spirals.turns           2         metrics.val_loss
        data/spirals.noise           0.1       metrics.val_loss
    """,
    "data=spirals training.steps_per_epoch=4 epochs=1": """
        model/mlp.hidden             [12,12]   summary.params_initial
    """,
    "data=spirals training.steps_per_epoch=4 epochs=1 model.hidden=[12,12]": """
        model/mlp.width              16        summary.params_initial
    """,
    "model=transformer training.steps_per_epoch=2 epochs=1": """
        data/text.batch_size         16        metrics.train_loss
        data/text.val_fraction       0.2       metrics.val_loss
        data/text.test_fraction      0.2       summary.test_loss
        data/text.path               book.txt  metrics.val_loss
        data/text.context            32        metrics.val_loss
        data/text.max_characters     9000      metrics.val_loss
        data/text.max_windows        320       metrics.val_loss
    """,
    "data=text data.max_windows=40 training.steps_per_epoch=2 epochs=1": """
        model/transformer.layers     2         summary.params_initial
        model/transformer.width      16        summary.params_initial
        model/transformer.heads      2         metrics.val_loss
        model/transformer.mlp_ratio  2.0       summary.params_initial
    """,
    "data=spirals training.steps_per_epoch=4 epochs=1 model.factory=own:narrow": """
        model/custom.factory         own:wide  summary.params_initial
        model/custom.width           9         summary.params_initial
    """,
    "data=spirals data.num_samples=300 model=mlp epochs=4": """
        training.optimizer           sgd       metrics.train_loss
        training.lr                  0.02      metrics.train_loss
        training.weight_decay        0.5       metrics.train_loss
        training.schedule            cosine    metrics.learning_rate
        training.decay_from          0.3       metrics.learning_rate
        training.warmup_epochs       2         metrics.learning_rate
        training.freeze_host         true      metrics.train_loss
        training.clip_norm           0.1       metrics.train_loss
        training.steps_per_epoch     4         metrics.train_loss
    """,
    "data=spirals data.num_samples=300 model=mlp epochs=4 training.optimizer=sgd": """
        training.momentum            0.5       metrics.train_loss
    """,
}
"""Options of the task and its training, and of slots."""

EARLY = "training.steps_per_epoch=2 epochs=6 policy=schedule policy.fractions=[0.1]"
SLOTS = {
    f"model=mlp model.hidden=[64,64,64] data=spirals data.num_samples=300 {EARLY}": """
        model/mlp.slots              [block2]  events.selection.slot
        model/mlp.num_seeds          2         events.selection.alternatives
        model/mlp.placement          series    events.kernel.parameters
    """,
    f"data.val_fraction=0.05 data.test_fraction=0.05 {EARLY} training.steps_per_epoch=8": """
        model/cnn.slots              [block2]  events.selection.slot
        model/cnn.num_seeds          2         events.selection.alternatives
        model/cnn.placement          series    events.selection.blueprint
        model/resnet.slots           [stage1]  events.selection.slot
        model/resnet.num_seeds       2         events.selection.alternatives
        model/resnet.placement       series    events.selection.blueprint
    """,
    f"data=text data.max_windows=40 {EARLY}": """
        model/transformer.slots      [block1.mlp]  events.selection.slot
        model/transformer.num_seeds  2         events.selection.alternatives
        model/transformer.placement  series    events.selection.blueprint
    """,
    f"data=spirals data.num_samples=300 model.factory=own:narrow {EARLY}": """
        model/custom.slots           ['2']     events.selection.slot
        model/custom.num_seeds       2         events.selection.alternatives
        model/custom.placement       series    events.selection.blueprint
    """,
    f"{DENSE} {EARLY}": """
        blueprint/standard.names     [affine]  events.selection.blueprint
        blueprint/light.names        [mlp]     events.selection.blueprint
        blueprint/all.names          [affine]  events.selection.blueprint
    """,
}
"""Options of slots and of what they may hold."""
