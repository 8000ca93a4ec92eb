"""Options that no row of the table drives, each with the reason; patterns as in `fnmatch`."""

EXEMPT = {
    "device": "names the machine's device",
    "name": "names a folder",
    "training.threads": "changes how fast the machine computes",
    "kernels.compile": "needs a compiler, and changes how fast the machine computes",
    "logger/*": "says where a run is told of, never what it does",
    "governor.*": "speaks of losses that explode, which no run without a fault has",
    "recovery.*": "speaks of kernels that fail, which no shipped kernel does",
    "data/cifar10.*": "needs photographs, which are not part of the package",
    "policy/heuristic.cull_*": "is the rule of policy/schedule, whose rows drive it",
    "policy/random.cull_*": "is the rule of policy/schedule, whose rows drive it",
    "store/sqlite.path": "names a file",
    "store/sqlite.timeout_s": "speaks of a file that another process has locked",
    "store/redis.*": "needs a server",
    "store/snapshot.*": "needs the folder of another run",
    "policy/planner.*": "needs the files of a trained model",
    "signals.probe_every": "speaks of policies that read the health of slots",
    "safety.max_uncertainty": "speaks of policies of one's own, which say how uncertain they are",
}
