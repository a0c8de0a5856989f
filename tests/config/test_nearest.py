"""What was meant by a name that there is not: other libraries' words, other options' keys, case."""

import pytest

from trainer.config.overrides import compose_run
from trainer.options.keys import nearest


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            "scheduler.step_size=5",
            "scheduler=warmup_cosine has no step_size; steplr has, and warmup_steplr as "
            "scheduler.after.step_size",
        ),
        ("scheduler=StepLR", "there is no scheduler StepLR; did you mean steplr?"),
        ("scheduler=CosineAnnealingLR", "did you mean cosine?"),
        ("scheduler=ReduceLROnPlateau", "did you mean plateau?"),
        ("scheduler=reduce_on_plateau", "did you mean plateau?"),
        ("scheduler=cosine scheduler.T_max=5", "did you mean scheduler.length?"),
        ("scheduler=cosine_restarts scheduler.T_0=5", "did you mean scheduler.t_0?"),
        ("model=VGG16", "did you mean vgg16?"),
        ("optimizer=adam optimizer.momentum=0.9", "optimizer=adam has no momentum; sgd has"),
        ("optimizer.learning_rate=1", "did you mean optimizer.lr?"),
    ],
)
def test_a_name_leads_to_ours(arguments: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r"there is no|has no") as raised:
        compose_run(arguments.split())
    line = str(raised.value)
    assert line.endswith(expected)
    assert "choose one of" not in line, "no list behind a good suggestion"


def test_without_an_idea_the_names_are_listed_without_recipes() -> None:
    with pytest.raises(ValueError, match="choose one of constant, cosine") as raised:
        compose_run(["scheduler=zzz"])
    assert "recipe/" not in str(raised.value)


def test_nothing_is_suggested_for_nonsense() -> None:
    assert nearest("qqqq", ["epochs", "seed"]) is None


def test_a_key_spelt_without_its_underscore_is_found_in_other_options() -> None:
    with pytest.raises(ValueError, match="has no step_size; steplr has, and warmup_steplr as sch"):
        compose_run(["scheduler.stepsize=4"])
    with pytest.raises(ValueError, match=r"did you mean scheduler\.step_size\?"):
        compose_run(["scheduler=steplr", "scheduler.stepsize=4"])
