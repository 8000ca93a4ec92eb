"""Tab completion, in the words that shells hand over."""

import pytest

from esper.app.arguments import complete


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["strategy", "=", "th"], ["thompson"]),
        (["strategy", "="], ["epsilon_greedy", "exp3", "fixed", "linthompson", "linucb"]),
        (["strategy.exp"], ["strategy.exploration_constant="]),
        (["strategy", "=", "thompson", "strategy.prior_a"], ["strategy.prior_alpha="]),
        (["experiment", "=", "smo"], ["smoke"]),
        (["epochs=("], []),
    ],
)
def test_bash_completes_options_and_keys(
    words: list[str],
    answers: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = ["esper", "train", *words]
    monkeypatch.setenv("_ESPER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(line))
    monkeypatch.setenv("COMP_CWORD", str(len(line) - 1))
    assert complete(words[-1])[: len(answers) or None] == answers


def test_other_shells_hand_over_the_whole_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_ESPER_COMPLETE", raising=False)
    assert complete("strategy=th") == ["strategy=thompson"]
    assert "strategy=" in complete("strat")


def test_each_command_completes_its_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_ESPER_COMPLETE", raising=False)
    assert complete("first_t", "train_policy") == ["first_task="]
    assert complete("learning.mem", "train_policy") == ["learning.members="]
    assert complete("first_t") == []
