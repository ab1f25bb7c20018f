from dataclasses import replace

import pytest

from benchmarks.learning import main as learning
from benchmarks.learning import report, rows
from benchmarks.learning.curves import curves
from benchmarks.learning.lab.loop import Setting
from benchmarks.learning.lab.methods import Variant
from benchmarks.learning.rows import Row

ROW = Row(
    tier="lab",
    setting="default",
    method="spo",
    retention="kl",
    normalization="trajectory",
    seed=0,
    steps=20,
    batch=8,
    pool=64,
    lr=1e-3,
    policy="random",
    area=0.4,
    final=0.45,
    validation_area=0.35,
    degenerate=0.0,
    trajectories_to_target=80.0,
    extra_logprob_passes=1.0,
    curve=[(0, 0.3, 0.25), (20, 0.5, 0.45)],
    metrics={"rho": 0.9},
)
GRPO = replace(ROW, method="grpo", retention=None, normalization=None, trajectories_to_target=None)


def test_area_is_the_mean_height_of_the_curve():
    curve = [(0, 0.0), (10, 1.0), (30, 1.0)]
    assert rows.area_under(curve, 30) == pytest.approx((5 + 20) / 30)
    assert rows.area_under(curve, 15) == pytest.approx((5 + 5) / 15)
    assert rows.area_under(curve, 5) == pytest.approx(0.25)
    assert rows.area_under(curve, 10) == pytest.approx(0.5)


def test_areas_are_compared_at_equal_tokens_where_these_were_counted():
    curve = [(0, 0.0, 0.0), (10, 0.5, 0.0), (20, 0.7, 0.0)]
    few, many = (replace(ROW, curve=curve, tokens=tokens) for tokens in ([0, 100, 200], [0, 200, 400]))
    assert (few.area_by_tokens(200), many.area_by_tokens(200)) == pytest.approx(((2.5 + 6) / 20, 0.25))
    table = report.table([few, replace(many, method="grpo", retention=None, normalization=None)])
    assert [line.split(" | ")[-6] for line in table.splitlines()] == ["area by tokens", "---:", "42.5", "25.0"]
    assert "by tokens" not in report.table([few, GRPO])


def test_what_a_run_generates_beyond_its_end_is_not_part_of_its_area():
    beyond = Row.from_curve([*ROW.curve, (30, 0.9, 0.9)], **_given(ROW))
    assert (beyond.area, beyond.final) == pytest.approx((ROW.area, 0.9))


def _given(row: Row) -> dict[str, object]:
    """What `Row.from_curve` is given beside the curve."""
    worked_out = ("curve", "area", "final", "validation_area", "trajectories_to_target")
    return {name: value for name, value in vars(row).items() if name not in worked_out}


@pytest.mark.parametrize(("target", "steps"), [(0.25, 5.0), (0.5, 10.0), (0.6, 40.0), (0.9, None)])
def test_the_first_crossing_of_the_target_is_interpolated(target, steps):
    curve = [(0, 0.0), (10, 0.5), (20, 0.4), (30, 0.5), (50, 0.7)]
    assert rows.steps_to(curve, target) == (None if steps is None else pytest.approx(steps))


def test_rows_survive_the_file_and_accumulate(tmp_path):
    path = tmp_path / "results" / "lab-default.json"
    assert rows.load([path]) == []
    rows.add(path, replace(ROW, seed=1))
    rows.add(path, ROW)
    loaded = rows.load([path])
    assert [row.seed for row in loaded] == [0, 1]
    assert replace(loaded[0], curve=[tuple(point) for point in loaded[0].curve]) == ROW


def test_a_rows_figures_are_those_of_its_curve():
    made = Row.from_curve(ROW.curve, **_given(ROW))
    assert made.trajectories_to_target == pytest.approx(80.0)
    assert (made.area, made.final, made.validation_area) == pytest.approx((0.4, 0.45, 0.35))


def test_an_interval_is_students():
    estimate = report.Estimate.of([0.1, 0.2, 0.3])
    assert estimate.mean == pytest.approx(0.2)
    assert estimate.half == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-5)


def test_a_single_value_has_no_interval():
    assert report.Estimate.of([0.123]).points(signed=True) == "+12.3"


def test_differences_are_paired_by_seed():
    left = [replace(ROW, seed=seed, area=0.4 + seed) for seed in (0, 1, 2)]
    right = [replace(GRPO, seed=seed, area=0.3 + seed) for seed in (2, 1, 5)]
    difference = report.paired(left, right, lambda row: row.area)
    assert difference.mean == pytest.approx(0.1)
    assert difference.half == pytest.approx(0.0, abs=1e-9)
    assert report.paired(left, right[2:], lambda row: row.area) is None


def test_a_table_has_a_line_a_method_best_first():
    runs = [replace(row, seed=seed, area=row.area + seed / 100) for row in (GRPO, ROW) for seed in (0, 1)]
    runs = [replace(row, area=row.area - 0.1) if row.method == "grpo" else row for row in runs]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.table(runs).splitlines()]
    assert [line[0] for line in lines[2:]] == ["spo", "grpo"]
    assert lines[2][3:6] == ["2", "40.5 ± 6.4", ""]
    assert lines[3][5] == "-10.0 ± 0.0"
    assert (lines[2][9], lines[3][9]) == ("80", "never")


def test_a_table_compares_with_reinforce_where_that_was_run():
    other = replace(ROW, method="reinforce++", retention=None, normalization=None, area=0.3)
    with_it, without = report.table([ROW, other]).splitlines(), report.table([ROW]).splitlines()
    assert "area against reinforce++" in with_it[0]
    assert with_it[2].split("|")[6:8] == ["  ", " +10.0 "]
    assert "reinforce++" not in without[0]


def test_what_is_left_of_a_policy_has_columns_where_rows_have_it():
    measured = [replace(ROW, seed=seed, metrics={"entropy": 0.25, "pass_at_8": 0.5}) for seed in (0, 1)]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in report.table([*measured, GRPO]).split("\n")
    ]
    assert lines[0][-2:] == ["entropy, nats per token", "pass@8"]
    assert lines[2][-2:] == ["0.250 ± 0.000", "50.0 ± 0.0"]
    assert lines[3][-2:] == ["", ""]
    assert "pass@8" not in report.table([ROW])


def test_the_beginning_of_a_run_has_its_own_area():
    run = replace(ROW, curve=[(0, 0.3, 0.2), (10, 0.5, 0.3), (20, 0.5, 0.45)], area=0.45)
    begun = run.through(10)
    assert (begun.area, begun.final, begun.steps) == pytest.approx((0.4, 0.3, 10))
    assert begun.metrics == run.metrics


def test_tiers_are_compared_over_the_same_steps():
    curve = [(0, 0.3, 0.2), (10, 0.5, 0.3), (20, 0.5, 0.45)]
    runs = [
        replace(row, seed=seed, tier=tier, steps=steps, curve=curve[: steps // 10 + 1], metrics=metrics)
        for row, metrics in ((GRPO, {"step_s": 2.0}), (ROW, {"step_s": 2.0, "rescore_s": 0.1}))
        for seed in (0, 1) for tier, steps in (("lab", 20), ("verl", 10))
    ]  # fmt: skip
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in report.agreement(runs, "default").split("\n")
    ]
    assert [line[0] for line in lines[2:]] == ["grpo", "spo"]
    assert lines[3][3:] == ["2", "40.0 ± 0.0", "+0.0 ± 0.0"] * 2 + ["5 %"]
    assert lines[2][-1] == "0 %"
    assert lines[2][5] == lines[2][8] == ""


def test_the_curves_name_every_variant_that_has_runs(tmp_path):
    runs = [replace(row, seed=seed) for row in (GRPO, ROW) for seed in (0, 1)]
    picture = tmp_path / "curves.svg"
    curves(report.by_variant(runs), report.SHOWN).save(picture)
    drawing = picture.read_text()
    assert ">grpo<" in drawing
    assert ">spo kl trajectory<" in drawing
    assert "reinforce" not in drawing


def test_the_curves_band_is_the_interval_over_seeds():
    runs = [replace(ROW, seed=seed, curve=[(0, 0.3, 0.0), (10, reward, 0.0)]) for seed, reward in enumerate((0.4, 0.6))]
    (first, last) = curves(report.by_variant(runs), report.SHOWN).data.values
    assert (first["low"], first["mean"], first["high"]) == pytest.approx((0.3, 0.3, 0.3))
    assert last["trajectories"] == 10 * ROW.batch
    assert last["high"] - last["mean"] == pytest.approx(report.Estimate.of([0.4, 0.6]).half)


def test_runs_that_are_there_are_not_made_again(tmp_path):
    path = tmp_path / "lab-default.json"
    variants, setting = (Variant("grpo"), Variant("spo", "kl", "trajectory")), Setting("default")
    rows.add(path, ROW)
    rows.add(path, replace(GRPO, setting="another"))
    expected = [(0, variants[0]), (1, variants[0]), (1, variants[1])]
    assert learning.missing(path, setting, variants, [0, 1], "random") == expected
    # Another machine trains another model, which its own seeds may begin from.
    assert learning.missing(path, setting, variants, [1], "trained") == expected[1:]
    with pytest.raises(ValueError, match=r"seeds \[0\]: begun from another model than trained"):
        learning.missing(path, setting, variants, [0, 1], "trained")
