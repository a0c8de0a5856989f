"""What a report says about runs: groups, sentences, and what it does with odd folders."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from processes import TINY, train
from run_folders import STEPS, write_run, write_seeds
from scipy import stats

from trainer.report import page, search, spreadsheet, tables
from trainer.report.__main__ import main
from trainer.report.analysis import Report, analyse
from trainer.report.read import find_runs, read_curve, read_run
from trainer.report.remarks import warnings
from trainer.report.sentences import comparison_sentence, headline
from trainer.report.statistics import Estimate
from trainer.report.words import ACCURACY, LOSS
from trainer.report.write import report
from trainer.storage.records import last_error, plain


def read(*places: Path, target: float | None = 0.8) -> Report:
    return analyse([read_run(folder, name) for folder, name in find_runs(places)], target)


def labels(place: Path) -> list[str]:
    return sorted(group.label for group in read(place).groups)


def told(result: Report) -> str:
    answer = headline(result)
    return "\n".join(
        [
            answer.title,
            answer.text,
            *(comparison_sentence(each, result.measure) for each in result.comparisons),
            *warnings(result),
        ]
    )


def document(*places: Path) -> str:
    return page.render([read(*places)], [], "today", places[0])["report.md"]


# --- groups -----------------------------------------------------------------------------------


def test_runs_that_differ_in_seed_and_circumstances_only_are_one_group(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        more = {"device": f"cuda:{seed}", "data.root": f"/{seed}", "checkpoint.keep_last": seed + 2,
                "engine": ("auto", "eager", "graph")[seed]}  # fmt: skip
        write_run(tmp_path / str(seed), [0.8], seed=seed, settings=more)
    (group,) = read(tmp_path).groups
    assert group.seeds == 3
    assert group.label == "steplr"


def test_a_label_says_what_differs_and_nothing_else(tmp_path: Path) -> None:
    after = {"name": "warmup", "warmup": 5, "after": {"name": "cosine", "eta_min": 0.0}}
    write_run(tmp_path / "0", [0.8], scheduler=after)
    write_run(tmp_path / "1", [0.8], scheduler={"name": "steplr", "gamma": 0.1})
    write_run(tmp_path / "2", [0.8], scheduler={"name": "steplr", "gamma": 0.2})
    assert labels(tmp_path) == [
        "steplr gamma=0.1",
        "steplr gamma=0.2",
        "warmup_cosine",
    ]
    common = read(tmp_path).common
    assert "optimizer.lr=0.04" in common
    assert not any(setting.startswith(("scheduler", "seed", "name")) for setting in common)


def test_a_label_leaves_out_a_schedule_that_all_share(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.8], settings={"optimizer.lr": 0.02})
    write_run(tmp_path / "1", [0.8], settings={"optimizer.lr": 0.04, "batch_size": 256})
    assert labels(tmp_path) == [
        "batch_size=128 lr=0.02",
        "batch_size=256 lr=0.04",
    ]


def test_names_are_labels_where_each_group_has_one_of_its_own(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.8], settings={"name": "first", "optimizer.lr": 0.02})
    write_run(tmp_path / "1", [0.8], settings={"name": "second"})
    assert labels(tmp_path) == ["first", "second"]
    write_run(tmp_path / "2", [0.8], seed=1, settings={"name": "third"})
    assert labels(tmp_path) == ["lr=0.02", "lr=0.04"]


def test_a_key_that_an_older_version_did_not_have_splits_no_group(tmp_path: Path) -> None:
    write_run(tmp_path / "old", [0.8], seed=0)
    write_run(tmp_path / "new", [0.8], seed=1, settings={"cutout": 0})
    result = read(tmp_path)
    assert len(result.groups) == 1
    assert "Not every run names cutout: taken to be the same." in warnings(result)
    write_run(tmp_path / "other", [0.8], seed=1, settings={"cutout": 8})
    assert len(read(tmp_path).groups) == 3


def test_a_fingerprint_stands_in_for_a_missing_configuration(tmp_path: Path) -> None:
    fingerprint = {"seed": 3, "scheduler.name": "cosine", "optimizer.lr": 0.1}
    folder = write_run(tmp_path / "0", [0.8], summary={"fingerprint": fingerprint})
    (folder / "config.yaml").unlink()
    (group,) = read(tmp_path).groups
    assert group.label == "cosine"
    assert list(group.by_seed(lambda run: run.final)) == [3]


def test_repeats_of_a_seed_count_once(tmp_path: Path) -> None:
    for number, final in enumerate((0.80, 0.82, 0.86)):
        write_run(tmp_path / str(number), [final], seed=min(number, 1))
    result = read(tmp_path)
    (group,) = result.groups
    assert group.final is not None
    assert group.final.n == 2
    assert group.final.mean == pytest.approx((0.80 + (0.82 + 0.86) / 2) / 2)
    assert "runs of the same seed count as one" in told(result)


def test_a_label_is_short_and_like_no_other(tmp_path: Path) -> None:
    for number, lr in enumerate((0.0123456, 0.0123499, 0.5)):
        write_run(tmp_path / str(number), [0.8], settings={"optimizer.lr": lr})
    assert labels(tmp_path) == ["lr=0.0123 #1", "lr=0.0123 #2", "lr=0.5"]
    for number in range(2):
        name = f"{'a rather long name ' * 4}{number}"
        write_run(tmp_path / "long" / str(number), [0.8], seed=number, settings={"name": name})
    write_run(tmp_path / "long" / "2", [0.8], settings={"name": "b", "epochs": 2})
    found = labels(tmp_path / "long")
    assert found == ["epochs=1", "epochs=2"]  # one group has two names
    write_run(tmp_path / "named" / "0", [0.8], settings={"name": "x" * 60})
    write_run(tmp_path / "named" / "1", [0.8], settings={"name": "x" * 61, "optimizer.lr": 1.0})
    found = labels(tmp_path / "named")
    assert found == ["x" * 35 + " #1", "x" * 35 + " #2"]


# --- a folder of mixed runs -------------------------------------------------------------------


def mixed(place: Path, models: int = 2, rates: int = 12) -> None:
    for model in range(models):
        for number in range(rates):
            more = {"model.name": f"model{model}", "optimizer.lr": 0.01 * (number + 1)}
            write_run(place / f"{model}_{number}", [0.4, 0.8 + 0.01 * number], settings=more)


def test_mixed_runs_are_divided_and_the_best_of_each_part_shown(tmp_path: Path) -> None:
    mixed(tmp_path)
    write_run(tmp_path / "long", [0.4, 0.5, 0.9], settings={"model.name": "model0"})
    write_run(tmp_path / "other", [0.4, 0.9], settings={"data.name": "synthetic"})
    (tmp_path / "refused" / ".hydra").mkdir(parents=True)
    written = report([tmp_path])
    assert [each.title for each in written.reports] == [
        "cifar10, model0, 2 epochs",
        "cifar10, model1, 2 epochs",
        "cifar10, model0, 3 epochs",
        "synthetic, vgg, 2 epochs",
    ]
    first = written.reports[0]
    assert (len(first.groups), len(first.shown)) == (12, 10)
    assert first.shown[0].label == "lr=0.12"
    assert len(first.runs) == 13  # the refused one as well: there is no telling where it belongs
    text = (written.folder / "report.md").read_text()
    assert "| lr=0.03 | 1 | 82.00 % |" in text
    assert "| lr=0.02 | 1 |" not in text
    assert "The 10 best; report.csv has 2 more." in text
    with (written.folder / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 27
    assert {row["model.name"] for row in rows} == {"model0", "model1", "vgg", ""}
    assert {"final_2.png", "curves_4.png"} <= {file.name for file in written.files}


def test_a_folder_whose_model_is_the_question_is_not_divided(tmp_path: Path) -> None:
    mixed(tmp_path, rates=1)
    (result,) = report([tmp_path]).reports
    assert [group.label for group in result.groups] == ["model0", "model1"]
    write_run(tmp_path / "other", [0.4, 0.9], settings={"data.name": "synthetic"})
    titles = [each.title for each in report([tmp_path]).reports]
    assert titles == ["cifar10", "synthetic"]


# --- a search ---------------------------------------------------------------------------------


def write_search(place: Path, trials: int = 24, entries: Any = None) -> Path:
    """Accuracy falls with the distance of the LR from 0.1; the batch size changes nothing."""
    place.mkdir()
    plan = {"search": {"direction": "maximize"}} if entries is None else entries
    (place / "sweep.json").write_text(json.dumps(plan))
    for number in range(trials):
        power = -2 + 2 * (number * 7 % trials) / trials
        more = {"optimizer.lr": 10**power, "batch_size": (64, 128)[number % 2]}
        write_run(place / str(number), [0.9 - 0.1 * abs(power + 1)], settings=more)
    return place


def test_a_search_has_its_trials_and_what_mattered(tmp_path: Path) -> None:
    result = read(write_search(tmp_path / "s"))
    trials = search.trials(result)
    assert [trial.number for trial in trials] == list(range(24))
    assert trials[0].lr == 0.01
    assert trials[0].value == pytest.approx(0.8)
    best = search.best_so_far(trials, higher=True)
    assert best == sorted(best)
    assert best[-1] == pytest.approx(0.9)
    assert search.best_so_far(trials, higher=False)[-1] == pytest.approx(0.8)
    shares = search.importances(result)
    assert list(shares) == ["optimizer.lr", "batch_size"]
    assert shares["optimizer.lr"] > 0.7
    assert shares["batch_size"] < 0.05
    written = report([tmp_path / "s"])
    text = (written.folder / "report.md").read_text()
    assert "## What mattered" in text
    assert "(search.png)" in text
    assert "The 10 best; report.csv" not in text  # 24 can be told apart


def test_importance_is_kelleys_and_knows_its_limits(tmp_path: Path) -> None:
    result = read(write_search(tmp_path / "s", trials=12))
    runs = sorted(result.runs, key=lambda run: run.settings["optimizer.lr"])
    ranges = [[run.final for run in runs[n : n + 3]] for n in range(0, 12, 3)]
    h = stats.kruskal(*ranges).statistic  # (n - 1) eta squared on ranks
    expected = 1 - (1 - h / 11) * 11 / 8
    assert 0.5 < expected < 0.99
    assert search.importances(result)["optimizer.lr"] == pytest.approx(expected)
    assert search.importances(read(write_search(tmp_path / "few", trials=2))) == {}


def test_a_search_of_an_older_sweep_is_one_and_a_listed_sweep_is_none(tmp_path: Path) -> None:
    older = write_search(tmp_path / "older", trials=3, entries={"direction": "maximize"})
    assert len(search.trials(read(older))) == 3
    listed = write_search(tmp_path / "listed", trials=3, entries={"direction": None, "jobs": []})
    assert search.trials(read(listed)) == []
    assert not (report([listed]).folder / "search.png").exists()
    both = report([tmp_path]).reports
    assert [each.title for each in both] == ["cifar10, vgg, 1 epoch", "search older"]


# --- what is compared -------------------------------------------------------------------------


def test_the_last_epoch_decides_and_not_the_luckiest(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [0.5, 0.9, 0.7], scheduler="lucky")
    write_run(tmp_path / "b", [0.5, 0.6, 0.8], scheduler="steady")
    leader = read(tmp_path).leader
    assert leader is not None
    assert leader.label == "steady"
    best = {g.label: g.estimate(lambda run: run.best) for g in read(tmp_path).groups}
    lucky = best["lucky"]
    assert lucky is not None
    assert lucky.mean == 0.9


def test_one_seed_is_called_one_seed(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [0.80], scheduler="a")
    write_run(tmp_path / "b", [0.804], scheduler="b")
    text = told(read(tmp_path))
    assert "b came out highest, in one seed." in text
    assert "0.40 points above the next, a" in text
    assert "nothing here says how much another seed would change that" in text
    assert "support" not in text


def test_equal_groups_are_level(tmp_path: Path) -> None:
    write_seeds(tmp_path / "a", [0.8], scheduler="a")
    write_seeds(tmp_path / "b", [0.8], scheduler="b")
    text = told(read(tmp_path))
    assert "b is level with a in one common seed: " in text
    assert "0.00 points" not in text


def test_two_seeds_give_no_interval(tmp_path: Path) -> None:
    write_seeds(tmp_path / "a", [0.95, 0.70], scheduler="a")
    write_seeds(tmp_path / "b", [0.60, 0.75], scheduler="b")
    text = told(read(tmp_path)) + document(tmp_path)
    assert "over 2 seeds (two give no 95 % CI)" in text
    assert "| two seeds give none |" in text
    assert "(two seeds give no 95 % CI, adjusted p = 0.59, n = 2 common seeds)" in text
    assert "\N{MINUS SIGN}" not in text.replace("\N{MINUS SIGN}5.00", "")


def test_an_interval_ends_where_an_accuracy_does(tmp_path: Path) -> None:
    write_seeds(tmp_path / "a", [0.999, 0.97, 0.998], scheduler="a")
    assert "(95 % CI 94.81 to 100.00)" in told(read(tmp_path))


def test_a_clear_difference_is_supported_and_the_numbers_are_scipys(tmp_path: Path) -> None:
    good, poor = [0.870, 0.873, 0.868, 0.871], [0.841, 0.846, 0.842, 0.839]
    write_seeds(tmp_path / "good", good, scheduler="good")
    write_seeds(tmp_path / "poor", poor, scheduler="poor")
    result = read(tmp_path)
    (comparison,) = result.comparisons
    expected = stats.ttest_rel(good, poor)
    assert comparison.adjusted_p == pytest.approx(expected.pvalue)
    text = told(result)
    assert "Take good." in text
    low, high = (100 * x for x in expected.confidence_interval())
    assert f"95 % CI {low:.2f} to {high:.2f}" in text
    assert "n = 4 common seeds): the numbers support it." in text


def test_a_small_difference_is_not_separated(tmp_path: Path) -> None:
    write_seeds(tmp_path / "a", [0.870, 0.860, 0.875], scheduler="a")
    write_seeds(tmp_path / "b", [0.865, 0.866, 0.868], scheduler="b")
    text = told(read(tmp_path))
    assert "a leads; the numbers do not separate it from b." in text
    assert "n = 3 common seeds): the numbers do not separate them." in text
    assert "support" not in text


def test_many_comparisons_need_more_than_one(tmp_path: Path) -> None:
    first, second = [0.8700, 0.8711, 0.8695], [0.8665, 0.8660, 0.8668]
    write_seeds(tmp_path / "a", first, scheduler="a")
    write_seeds(tmp_path / "b", second, scheduler="b")
    alone = read(tmp_path).comparisons[0]
    assert alone.supported
    for number, name in enumerate("cdefgh"):
        noisy = [0.85 + 0.01 * ((seed + number) % 3) for seed in range(3)]
        write_seeds(tmp_path / name, noisy, scheduler=name)
    among = next(c for c in read(tmp_path).comparisons if c.other.label == "b")
    assert among.paired is not None
    assert alone.paired is not None
    assert among.paired.p == alone.paired.p
    assert among.adjusted_p is not None
    assert alone.adjusted_p is not None
    assert among.adjusted_p > alone.adjusted_p
    assert not among.supported


def test_a_leader_that_is_worse_on_the_common_seeds_is_not_supported(tmp_path: Path) -> None:
    write_seeds(tmp_path / "a", [0.800, 0.802, 0.801, 0.95, 0.95], scheduler="a")
    write_seeds(tmp_path / "b", [0.820, 0.823, 0.8205], scheduler="b")
    result = read(tmp_path)
    (comparison,) = result.comparisons
    assert comparison.adjusted_p is not None
    assert comparison.adjusted_p < 0.05
    assert not comparison.supported
    text = told(result)
    assert "a came out highest, but on the common seeds b is better." in text
    assert "b is above a by 2.02 points (95 % CI 1.8" in text
    assert "on the seeds that both have, the numbers support that b is better." in text
    assert "separate" not in text
    assert "worse on the common seeds" in document(tmp_path)
    write_seeds(tmp_path / "c", [0.80, 0.803, 0.80], scheduler="c")
    answer = headline(read(tmp_path))
    assert answer.title == "a came out highest, but on the common seeds b is better."
    assert "Not separated from it: c." in answer.text


def test_groups_without_a_common_seed_are_not_tested(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.80], scheduler="a", seed=0)
    write_run(tmp_path / "1", [0.82], scheduler="a", seed=1)
    write_run(tmp_path / "2", [0.70], scheduler="b", seed=2)
    write_run(tmp_path / "3", [0.72], scheduler="b", seed=3)
    text = told(read(tmp_path))
    assert "without a common seed: not paired, so not tested" in text
    assert "support" not in text


def test_runs_of_different_length_are_said_to_be(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [0.7, 0.8], scheduler="a")
    write_run(tmp_path / "b", [0.7, 0.8, 0.9], scheduler="b")
    assert "Runs of different length: 2 to 3 epochs, 20 to 30 steps." in told(read(tmp_path))
    write_run(tmp_path / "c" / "c", [0.7, 0.8], scheduler="c")
    assert "length" not in told(read(tmp_path / "a", tmp_path / "c"))


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"device": "a GPU"}, "Made with different devices: a CPU, 1 thread and a GPU."),
        ({"precision": "fp16"}, "different precisions: bf16 and fp16."),
        ({"versions": {"torch": "3.0"}}, "different torch versions: 2.15.0 and 3.0."),
        ({"data": {"sha256": "beef"}}, "different data (SHA-256): da7ada7ada7a and beef."),
    ],
)
def test_different_circumstances_are_warned_of(
    tmp_path: Path, summary: dict[str, Any], expected: str
) -> None:
    write_run(tmp_path / "0", [0.8], seed=0)
    write_run(tmp_path / "1", [0.8], seed=1)
    assert warnings(read(tmp_path)) == []
    write_run(tmp_path / "2", [0.8], seed=2, summary=summary)
    assert expected in told(read(tmp_path))


def test_runs_of_a_group_whose_lrs_differ_are_warned_of(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.8], seed=0)
    write_run(tmp_path / "1", [0.8], seed=1, lrs=[0.04] * 9 + [0.01])
    assert "the LR curves of its runs differ" in told(read(tmp_path))
    plateau = tmp_path / "plateau"
    write_run(plateau / "0", [0.8], scheduler="plateau")
    write_run(plateau / "1", [0.8], scheduler="plateau", seed=1, lrs=[0.04] * 9 + [0.01])
    assert "curves" not in told(read(plateau))


def test_a_test_set_kept_for_the_end_is_shown_beside_the_validation(tmp_path: Path) -> None:
    tests = {"test_last": {"accuracy": 0.7312}, "test_best": {"accuracy": 0.7456}}
    write_run(tmp_path / "a", [0.7, 0.75], scheduler="a", split="val", summary=tests)
    write_run(tmp_path / "b", [0.7, 0.74], scheduler="b", split="val", summary=tests)
    text = document(tmp_path)
    assert "75.00 % final validation accuracy" in text
    assert "73.12 %" in text
    assert "74.56 %" in text


def test_runs_evaluated_on_different_images_are_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [0.7], scheduler="a", split="val")
    write_run(tmp_path / "b", [0.9], scheduler="b")
    text = told(read(tmp_path))
    assert "These runs cannot be compared." in text
    assert "points" not in text


def test_a_group_on_other_images_adds_no_comparison_to_the_others(tmp_path: Path) -> None:
    write_seeds(tmp_path / "a", [0.8700, 0.8711, 0.8695], scheduler="a")
    write_seeds(tmp_path / "b", [0.8665, 0.8660, 0.8668], scheduler="b")
    alone = read(tmp_path).comparisons[0].adjusted_p
    write_seeds(tmp_path / "c", [0.95, 0.92, 0.91], scheduler="c", split="val")
    first, other = read(tmp_path).comparisons
    assert first.leader.label == "a val_size=0"  # though c's number is higher
    assert first.adjusted_p == alone
    assert other.paired is None
    assert "c val_size=500: not compared, they were evaluated on different images" in told(
        read(tmp_path)
    )


def test_the_target_is_met_by_the_first_evaluation_at_or_above_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", [0.5, 0.8, 0.7, 0.9], every=2, seconds=3.0)
    run = read_run(folder, "a")
    assert run.reached(0.8) == (4 * STEPS, 6.0)
    assert run.reached(0.81) == (8 * STEPS, 12.0)
    assert run.reached(0.95) is None


def test_a_target_that_is_not_reached_is_counted(tmp_path: Path) -> None:
    for seed, final in enumerate((0.85, 0.75, 0.81)):
        write_run(tmp_path / str(seed), [final], seed=seed)
    assert "2 of 3" in document(tmp_path)


# --- half a folder ----------------------------------------------------------------------------


def test_unfinished_runs_are_shown_and_are_in_no_mean(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.8], seed=0)
    write_run(tmp_path / "1", [0.1], seed=1, status="running")
    write_run(tmp_path / "2", [0.1], seed=2, status="stopped")
    error = {"error": "the loss is nan"}
    write_run(tmp_path / "3", [], seed=3, status="failed", summary=error, settings={"epochs": 1})
    result = read(tmp_path)
    (group,) = result.groups
    assert group.final is not None
    assert (group.final.n, group.final.mean) == (1, 0.8)
    expected = (
        "3 of 4 runs did not finish (1 running, 1 stopped and 1 failed): shown, but in no mean"
    )
    assert expected in told(result)
    text = document(tmp_path)
    assert "| 3 | steplr | failed | 0 of 1 | the loss is nan |" in text


def values_only(folder: Path) -> None:
    """Makes a run one of a regression, which has losses alone."""
    for name in ("metrics.jsonl", "summary.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("/accuracy", "/mae"))


def test_an_unfinished_run_does_not_decide_what_is_compared(tmp_path: Path) -> None:
    for seed in range(3):
        values_only(write_run(tmp_path / str(seed), [0.5], seed=seed, settings={"loss": "mse"}))
    write_run(tmp_path / "classes", [0.5], status="stopped", seed=3)
    result = read(tmp_path, target=None)
    assert result.measure is LOSS
    assert result.leader is not None
    assert result.leader.seeds == 3
    assert "1 of 4 runs did not finish (1 stopped)" in told(result)


def test_a_finished_run_without_the_metric_is_left_out_and_not_called_unfinished(
    tmp_path: Path,
) -> None:
    write_run(tmp_path / "0", [0.5])
    values_only(write_run(tmp_path / "1", [0.5], settings={"loss": "mse"}))
    result = read(tmp_path)
    text = told(result)
    assert "1 of 2 runs finished without the final test accuracy: shown, but in no mean." in text
    assert "1: has no accuracy (loss=mse), by which runs are compared here." in text
    assert "did not finish" not in text
    assert tables.of(result)["troubles"] is None


def test_a_job_that_was_refused_is_failed_with_its_last_error(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.8])
    refused = tmp_path / "1"
    (refused / ".hydra").mkdir(parents=True)
    (refused / ".hydra" / "overrides.yaml").write_text("- scheduler=cosine\n- seed=4\n")
    (refused / "trainer.log").write_text(
        "2026-11-21 11:34:18,761 INFO run folder\n"
        "2026-11-21 11:34:19,059 ERROR refused\nTraceback (most recent call last):\n"
        '  File "x.py", line 1, in <module>\nFileNotFoundError: data/x: is not there\n'
    )
    text = document(tmp_path)
    assert "| 1 | scheduler=cosine seed=4 | failed | 0 | data/x: is not there |" in text


def test_an_error_without_a_traceback_is_the_line_itself(tmp_path: Path) -> None:
    log = tmp_path / "trainer.log"
    log.write_text(
        "2026-11-21 11:34:19,059 ERROR it went wrong\n2026-11-21 11:34:20,000 INFO bye\n"
    )
    assert last_error(log) == "it went wrong"
    log.write_text("2026-11-21 11:34:20,000 INFO epoch 1 ERROR 3\n")
    assert last_error(log) is None


def test_a_half_written_line_is_left_out_and_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "0", [0.6, 0.7], status="running", summary={"last": None})
    path = folder / "metrics.jsonl"
    path.write_text(path.read_text()[:-30])
    result = read(tmp_path)
    assert result.runs[0].final == 0.6
    assert "0: the last line of metrics.jsonl is incomplete: left out." in warnings(result)


def test_a_finished_run_without_its_metrics_is_known_by_its_summary(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "0", [0.6, 0.7])
    (folder / "metrics.jsonl").unlink()
    result = read(tmp_path)
    assert result.runs[0].final == 0.7
    assert "taken from summary.json" in told(result)


@pytest.mark.parametrize("name", ["summary.json", "config.yaml", "metrics.jsonl", "lr.csv"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff\xfe", b"[1, 2]", b"{", b"null", b"[" * 100_000, b'{"last": 3, "status": []}',
     b"step,lr\n0,nan\n1,", b"&a [*a, *a]"],
)  # fmt: skip
def test_no_file_of_a_run_can_break_the_report(tmp_path: Path, name: str, content: bytes) -> None:
    write_run(tmp_path / "good", [0.6, 0.7])
    bad = write_run(tmp_path / "bad", [0.6, 0.7])
    (bad / name).write_bytes(content)
    result = read(tmp_path)
    assert len(result.runs) == 2
    assert headline(result).title
    assert result.leader is not None


def test_nothing_in_a_configuration_runs(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "0", [0.8])
    proof = tmp_path / "proof"
    (folder / "config.yaml").write_text(f"a: !!python/object/apply:os.mkdir ['{proof}']\n")
    result = read(tmp_path)
    assert not proof.exists()
    assert "0: config.yaml is damaged: not read." in warnings(result)


def test_a_sweep_in_which_nothing_finished_says_so(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.5], status="running")
    write_run(tmp_path / "1", [], status="failed", seed=1)
    result = read(tmp_path)
    assert headline(result).title == "No run has finished yet."
    assert "1 running and 1 failed" in headline(result).text
    assert report([tmp_path]).files


def test_one_run_is_reported_alone(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "0", [0.5, 0.8])
    text = told(read(folder))
    assert "steplr: 80.00 % final test accuracy." in text
    assert "nothing to compare it with" in text


# --- finding and writing ----------------------------------------------------------------------


def test_runs_are_found_three_levels_down_in_natural_order_and_once(tmp_path: Path) -> None:
    for name in ("10", "2", "a/b/c"):
        write_run(tmp_path / name, [0.8])
    write_run(tmp_path / "a" / "b" / "d" / "e", [0.8])
    (tmp_path / "empty").mkdir()
    names = [name for _, name in find_runs([tmp_path])]
    assert names == ["2", "10", "a/b/c"]
    again = [name for _, name in find_runs([tmp_path, tmp_path / "2"])]
    assert again == [f"{tmp_path.name}/{name}" for name in names]


def test_a_report_lies_in_the_only_folder_and_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "s" / "0", [0.8])
    write_run(tmp_path / "t" / "0", [0.9])
    first, second = report([tmp_path / "s"]), report([tmp_path / "s"])
    assert first.folder == tmp_path / "s" / "report"
    assert len(second.reports[0].runs) == 1
    monkeypatch.chdir(tmp_path)
    both = report([tmp_path / "s", tmp_path / "t"])
    assert both.folder.parent == Path("outputs/report")
    assert all(file.stat().st_size for file in both.files)
    assert sorted(file.name for file in both.files) == [
        "curves.png",
        "final.png",
        "gap.png",
        "report.csv",
        "report.html",
        "report.md",
    ]


def test_the_csv_holds_a_row_per_run_and_no_formula(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.5, 0.8], settings={"name": "=cmd()", "optimizer.lr": 0.1})
    write_run(tmp_path / "1", [0.6, 0.9], seed=7, settings={"name": "plain"}, status="running")
    first, second = csv.DictReader(io.StringIO(spreadsheet.text([read(tmp_path)])))
    assert first["final_accuracy"] == "0.8"
    assert (first["updates_to_target"], first["seconds_to_target"]) == ("20", "4.0")
    assert first["name"] == "'=cmd()"
    assert (first["optimizer.lr"], second["optimizer.lr"]) == ("0.1", "0.04")
    assert (second["seed"], second["status"], second["best_epoch"]) == ("7", "running", "2")
    write_run(tmp_path / "2", [0.6], settings={"optimizer.lr": -0.5, "name": "-1+cmd()"})
    third = list(csv.DictReader(io.StringIO(spreadsheet.text([read(tmp_path)]))))[2]
    assert (third["optimizer.lr"], third["name"]) == ("-0.5", "'-1+cmd()")


def test_every_minus_is_a_true_one() -> None:
    assert LOSS.value(4.96e-5) == "4.960e\N{MINUS SIGN}05"
    assert LOSS.difference(4.96e-5) == "4.96e\N{MINUS SIGN}05"
    assert LOSS.difference(-4.96e-5, sign=True) == "\N{MINUS SIGN}4.96e\N{MINUS SIGN}05"
    assert ACCURACY.difference(-0.0043) == "\N{MINUS SIGN}0.43"
    assert ACCURACY.difference(0.0043, sign=True) == "+0.43"
    assert LOSS.mean_and_sd(Estimate(2, 1e-5, 1e-6, 1e-5)).count("\N{MINUS SIGN}") == 2
    assert LOSS.interval(Estimate(3, 0.1, 0.1, 0.9)) == "\N{MINUS SIGN}0.8000 to 1.000"


def test_markdown_shows_names_as_they_are(tmp_path: Path) -> None:
    assert page.escaped("a|b *c* <d> [e](f) `g` _h_ i_j") == (
        r"a\|b \*c\* \<d\> \[e\](f) \`g\` \_h\_ i_j"
    )
    write_run(tmp_path / "0", [0.8], settings={"name": "x | <script>alert(1)</script>"})
    text = document(tmp_path)
    assert "<script>" not in text
    assert r"x \| \<script\>alert(1)\</script\>" in text


def test_a_name_cannot_speak_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "0", [0.8], settings={"name": "a\x1b[31mred\x07\n\u202eb\ud800"})
    assert main([str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "a [31mred b" in text
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert len(plain("x" * 10_000)) == 400


def test_a_thinned_curve_keeps_its_peaks_and_its_ends(tmp_path: Path) -> None:
    lrs = [0.01] * 20_000
    lrs[7_777], lrs[12_345], lrs[0], lrs[-1] = 0.5, 0.001, 0.02, 0.03
    write_run(tmp_path / "0", [0.8], lrs=lrs)
    curve = read_curve(tmp_path / "0" / "lr.csv")
    assert curve is not None
    points = dict(zip(*curve, strict=True))
    assert len(points) <= 1000
    assert points[7_777] == 0.5
    assert points[12_345] == 0.001
    assert (points[0], points[19_999]) == (0.02, 0.03)
    assert list(points) == sorted(points)


def test_an_update_that_no_run_has_is_no_point_of_a_curve(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "0", [0.8], lrs=[0.1, 0.2])
    with (folder / "lr.csv").open("a") as file:
        file.write(f"{'9' * 400},0.3\n-1,0.3\n")
    assert read_curve(folder / "lr.csv") == ([0, 1], [0.1, 0.2])
    assert report([tmp_path]).files


# --- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name a run folder"),
        (["nowhere"], "nowhere: there is no such folder"),
        (["empty"], "empty: holds no run folder, up to 3 levels down"),
        (["file"], "file: is a file"),
        (["run", "--target", "abc"], "--target abc: must be a number above 0"),
        (["run", "--target", "80"], "--target 80: must be"),
        (["run", "--target", "0"], "--target 0: must be"),
        (["run", "--target", "nan"], "--target nan: must be"),
        (["run", "--taget", "1"], "--taget: there is no such option"),
        (["run", "--output", "file"], "file"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", [0.8])
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("trainer: error: ")
    assert expected in error
    assert error.count("\n") == 1


def test_help_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    assert "FOLDER" in capsys.readouterr().out


@pytest.mark.slow
def test_a_real_sweep_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["-m", "scheduler=steplr,warmup_cosine", "seed=0,1", "epochs=2"]
    train([*TINY, *sweep, "hydra.sweep.dir=sweep"], tmp_path)
    lost = ["optimizer.lr=1e30", "hydra.run.dir=sweep/4"]
    train([*TINY, *lost], tmp_path, expect=1)
    train([*TINY, "data.train_size=500", "hydra.run.dir=sweep/5"], tmp_path, expect=2)
    assert main([str(tmp_path / "sweep"), "--target", "0.05"]) == 0
    text = capsys.readouterr().out
    with (tmp_path / "sweep" / "report" / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows[:4]:
        folder = Path(row["folder"])
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        last = json.loads(lines[-1])
        assert float(row["final_accuracy"]) == last["test/accuracy"]
        assert int(row["updates"]) == last["step"] == 12
        assert row["status"] == "done"
    groups = [row["group"] for row in rows[:4]]
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert "steplr" in groups[0]
    assert "warmup_cosine" in groups[2]
    assert rows[4]["status"] == "failed"
    assert "the loss is" in rows[4]["error"]
    assert "2 of 2" in text
    (tmp_path / "sweep" / "report" / "curves.png").unlink()


def test_a_fork_is_called_by_where_it_left_and_how_it_went_on(tmp_path: Path) -> None:
    past = {"length": "10 steps", "of": "30 steps", "schedule": {"name": "constant"}}
    for seed in (0, 1):
        for name in ("linear", "cosine"):
            phases = [past, {"length": None, "schedule": {"name": name, "interval": "step"}}]
            write_run(
                tmp_path / f"{name}{seed}",
                [0.5, 0.6],
                scheduler={"name": "phases", "interval": "step", "phases": phases},
                seed=seed,
                settings={"fork": f"/runs/{seed}@10steps"},
            )
    (found,) = report([tmp_path]).reports
    assert sorted(group.label for group in found.shown) == ["cosine", "linear"]
    assert [len(group.runs) for group in found.shown] == [2, 2]
    assert "forked_from=constant@10 steps" in found.common
