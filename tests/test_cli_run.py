"""`jax-lstm run` prints what the notebook printed; what it cannot run it refuses in one line."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import oracle
import pytest

from jax_lstm.cli import main
from jax_lstm.cli.notebook import GATES

NOTEBOOK = """\
STEP 1:
  Forget Gate: 0.6225
  Input Gate: 0.6457
  Candidate Cell: 0.6044
  Cell State: 0.3902
  Output Gate: 0.6900
  Hidden State: 0.2564

STEP 2:
  Forget Gate: 0.7361
  Input Gate: 0.7775
  Candidate Cell: 0.9009
  Cell State: 0.9877
  Output Gate: 0.8459
  Hidden State: 0.6398

STEP 3:
  Forget Gate: 0.8269
  Input Gate: 0.8730
  Candidate Cell: 0.9798
  Cell State: 1.6721
  Output Gate: 0.9344
  Hidden State: 0.8707

Estimated Future Value: 3.4827
"""


def run(capsys, *arguments):
    assert main(["run", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_it_prints_the_notebook(capsys):
    assert run(capsys, 1, 2, 3) == NOTEBOOK


def test_python_m_is_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "jax_lstm", "run", "1", "2", "3"], capture_output=True, text=True, check=True
    )
    assert done.stdout == NOTEBOOK


@pytest.mark.parametrize("text", ["1 2 3", "1\n2\n3\n", "1, 2,3", " 1.0,\n\n2e0 3 "])
def test_the_sequence_from_a_file_or_standard_input(capsys, tmp_path, monkeypatch, text):
    file = tmp_path / "sequence.txt"
    file.write_text(text)
    assert run(capsys, file) == NOTEBOOK
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert run(capsys, "-") == NOTEBOOK


def test_json_has_every_digit_and_leaves_jax_as_it_was(capsys):
    before = jax.config.jax_enable_x64
    found = json.loads(run(capsys, 1, 2, 3, "--json"))
    assert jax.config.jax_enable_x64 == before
    assert found["estimate"] == pytest.approx(3.482711142511621, rel=0, abs=1e-14)
    assert len(found["steps"]) == 3
    assert found["steps"][2] == pytest.approx(
        {
            "forget_gate": 0.8269235694,
            "input_gate": 0.8730232245,
            "candidate": 0.9797760983,
            "cell_state": 1.6721045647,
            "output_gate": 0.9343746800,
            "hidden_state": 0.8706777856,
        },
        rel=0,
        abs=5.1e-11,
    )


def test_negative_numbers_and_the_scale(capsys):
    found = json.loads(run(capsys, -1, -2.5, "--scale", -2, "--json"))
    assert found["estimate"] == -2 * found["steps"][-1]["hidden_state"]
    assert found["steps"][0]["forget_gate"] == pytest.approx(oracle.sigmoid(-0.5), abs=1e-15)


def test_gates_from_a_file(capsys, tmp_path):
    file = tmp_path / "gates.json"
    file.write_text(json.dumps(GATES))
    assert run(capsys, 1, 2, 3, "--gates", file) == NOTEBOOK
    file.write_text(json.dumps(GATES | {"forget": [0.5, 0.1, 1]}))
    changed = json.loads(run(capsys, 1, 2, 3, "--gates", file, "--json"))
    assert changed["steps"][0]["forget_gate"] == pytest.approx(oracle.sigmoid(1.5), abs=1e-15)


def test_a_picture_beside_the_text(capsys, tmp_path):
    file = tmp_path / "gates.png"
    assert run(capsys, 1, 2, 3, "--plot", file) == NOTEBOOK
    assert file.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [file]


FILES = {
    "empty.txt": b"",
    "words.csv": b"1,2,three",
    "binary.txt": b"\xff\xfe\x00",
    "broken.json": b"{",
    "list.json": b"[1, 2]",
    "missing.json": json.dumps({name: GATES[name] for name in ("forget", "input", "cell")}).encode(),
    "unknown.json": json.dumps(GATES | {"reset": (1, 2, 3)}).encode(),
    "short.json": json.dumps(GATES | {"cell": (1, 2)}).encode(),
    "text.json": json.dumps(GATES | {"cell": (1, "2", 3)}).encode(),
    "nan.json": json.dumps(GATES | {"cell": (1, float("nan"), 3)}).encode(),
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.txt"], "jax-lstm: absent.txt: No such file or directory"),
        (["empty.txt"], "empty.txt is empty, expected at least one number"),
        (["words.csv"], "words.csv has 'three', expected only finite numbers"),
        (["binary.txt"], "binary.txt is not text: expected UTF-8"),
        (["1", "two"], "the sequence has 'two', expected only finite numbers"),
        (["nan"], "the sequence has 'nan', expected only finite numbers"),
        (["1", "inf"], "the sequence has 'inf', expected only finite numbers"),
        (["1", "--scale", "nan"], "--scale is nan, expected a finite number"),
        (["1", "--gates", "absent.json"], "jax-lstm: absent.json: No such file or directory"),
        (["1", "--gates", "broken.json"], "broken.json is not JSON"),
        (["1", "--gates", "list.json"], "list.json holds a list, expected gates such as"),
        (["1", "--gates", "missing.json"], "gates has no 'output', expected the keys input, forget, cell, output"),
        (["1", "--gates", "unknown.json"], "gates has an unknown 'reset'"),
        (["1", "--gates", "short.json"], "short.json: 'cell' is [1, 2], expected [W, U, b], three finite numbers"),
        (["1", "--gates", "text.json"], "text.json: 'cell' is [1, '2', 3], expected [W, U, b]"),
        (["1", "--gates", "nan.json"], "nan.json: 'cell' is [1, nan, 3], expected [W, U, b]"),
        (["1", "--plot", "absent/gates.png"], "there is no folder"),
        (["1", "--plot", "gates.xyz"], "xyz"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    assert main(["run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("jax-lstm: ")
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required"),
        (["1", "--scale", "four"], "argument --scale: invalid float value: 'four'"),
        (["1", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_a_wrong_option_too(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        main(["run", *arguments])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_ctrl_c_while_jax_is_loaded_ends_the_program_in_one_line(tmp_path):
    """A module that has the name of JAX interrupts the process that imports it."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    # a shell in the background lets its children ignore the signal
    code = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    code += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    for command in (["-m", "jax_lstm", "run", "1"], ["-c", "import jax_lstm_command as m; raise SystemExit(m.main())"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (130, "jax-lstm: stopped\n")
