"""The report that a person with a GPU or TPU is asked for runs end to end, here on a CPU, and finds what is wrong."""

import json

import jax.numpy as jnp
import pytest

from experiments.accelerators import device


@pytest.mark.exhaustive
def test_the_report_has_a_verdict_and_a_time_for_every_schedule(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(device, "TOLERANCE", {"float32": device.TOLERANCE["float32"]})
    monkeypatch.setattr(device, "SCHEDULES", ("scan", "deferred", "cudnn", "unrolled"))
    monkeypatch.setattr(device.peers, "nnx_calls", _missing)
    monkeypatch.setattr(device.peers, "torch_calls", _missing)
    assert device.run(5, tmp_path / "new" / "device.json", device.TINY) == 0
    found = json.loads((tmp_path / "new" / "device.json").read_text())
    assert found["checks"]["deferred, float32"] == "equal"
    assert found["checks"]["cudnn, float32"].startswith('refused: schedule="cudnn"')
    assert [case["ragged"] for case in found["cases"]] == [False, True]
    for case in found["cases"]:
        assert set(case["forward"]) == set(case["gradient"]) == {"scan", "deferred"}
        assert min(case["gradient"].values()) > 0
    printed = capsys.readouterr().out
    assert "| tiny (2, 6, 3, 8), float32, ragged |" in printed
    assert "| deferred, float32 | equal |" in printed


def _missing(work):
    raise ImportError("not installed")


def test_every_shape_is_timed_in_half_precision_too():
    dtypes = [(case.dtype, case.ragged) for case in device.cases(device.TINY)]
    assert dtypes == [("float32", False), ("float32", True), ("bfloat16", False)]


@pytest.mark.exhaustive
def test_a_schedule_that_is_wrong_is_found(monkeypatch):
    right = device.lstm

    def wrong(params, xs, *, schedule, **options):
        carry, hs = right(params, xs, schedule="scan", **options)
        return carry, hs if schedule == "scan" or "resets" not in options else hs * jnp.float32(1.1)

    monkeypatch.setattr(device, "lstm", wrong)
    assert device.check("deferred", "float32").startswith("DIFFERS with resets: by ")


def test_a_schedule_that_does_not_compile_is_reported(monkeypatch):
    def broken(params, xs, *, schedule, **options):
        if schedule != "scan":
            raise RuntimeError("no such instruction")
        return device_lstm(params, xs, schedule=schedule, **options)

    device_lstm = device.lstm
    monkeypatch.setattr(device, "lstm", broken)
    assert device.check("pallas", "float32") == "FAILED with no options: RuntimeError: no such instruction"


def test_nothing_is_measured_after_the_deadline(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(device, "TOLERANCE", {"float32": device.TOLERANCE["float32"]})
    monkeypatch.setattr(device, "SCHEDULES", ("scan",))
    assert device.run(0, tmp_path / "device.json", device.TINY) == 0
    assert json.loads((tmp_path / "device.json").read_text())["cases"] == []
    assert "no time was left for 2 of 2 cases" in capsys.readouterr().err
