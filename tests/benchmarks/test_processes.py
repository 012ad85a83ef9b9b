from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.processes import Child, Ended, Overdue
from tests.benchmarks.children import obey

ROOT = Path(__file__).resolve().parents[2]
LONG = 60.0


@pytest.fixture
def child() -> Iterator[Child]:
    started = Child(obey)
    yield started
    started.kill()


def test_a_child_answers_with_json_and_bytes(child: Child) -> None:
    data = os.urandom(1_000_000)
    child.send(("echo", data))
    message = child.receive(LONG)
    assert message.body == data
    assert message.head["here"] is True
    child.send(("stdin", 0))
    assert child.receive(LONG).body == b""


def test_a_child_has_the_folder_and_environment_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('a file of the user')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LONGTAIL_TEST", "now")
    child = Child(look, str(tmp_path))
    assert child.receive(LONG).head == {"folder": True, "variable": "now"}
    child.kill()


def test_a_child_can_have_variables_before_it_imports_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA_VISIBLE_DEVICES must be set before torch is imported; the server has torch already."""
    log = tmp_path / "log.txt"
    (tmp_path / "sitecustomize.py").write_text(  # runs when an interpreter starts
        "import os, sys\n"
        f"with open({str(log)!r}, 'a') as stream:\n"
        "    print(os.getpid(), os.environ.get('LONGTAIL_GPU'), 'torch' in sys.modules,"
        " file=stream)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = Child(obey, environment={"LONGTAIL_GPU": "3"})
    child.send(("echo", b""))
    assert child.receive(LONG).head["here"] is True
    assert f"{child._process.pid} 3 False" in log.read_text().splitlines()
    assert "LONGTAIL_GPU" not in os.environ
    child.kill()


def test_a_server_whose_folder_was_cleared_is_told_in_a_line() -> None:
    """Services that clear /tmp remove the socket of a server that has run for days."""
    code = (
        "import shutil\n"
        "from multiprocessing import util\n"
        "from benchmarks.errors import UserError\n"
        "from benchmarks.processes import Child\n"
        "from tests.benchmarks.children import obey\n"
        "Child(obey).kill()\n"
        "shutil.rmtree(util.get_temp_dir())\n"
        "try:\n"
        "    Child(obey)\n"
        "except UserError as error:\n"
        "    print('told:', error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.startswith("told: Cannot start a process (No such file or directory)")


@pytest.mark.parametrize("fault", ["RuntimeError", "ImportError"])
def test_a_package_that_cannot_be_imported_is_named(fault: str, tmp_path: Path) -> None:
    """The server dies of the one, and its child of the other."""
    (tmp_path / "torch.py").write_text(f"raise {fault}('operator torchvision::nms is missing')")
    code = (
        "import sys\n"
        "import run_benchmarks\n"
        "from benchmarks.processes import Child\n"
        "from benchmarks.starting import warm_up\n"
        "from tests.benchmarks.children import import_torch\n"
        "warm_up(fitting=True)\n"
        "try:\n"
        "    Child(import_torch).receive(60)\n"
        "except Exception as error:\n"
        "    sys.exit(run_benchmarks._failed(error, debug=False))\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert found.returncode == 2
    assert found.stderr.startswith("error: the Python package 'torch' cannot be imported by ")
    assert "(operator torchvision::nms is missing)" in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_script_is_not_run_again_in_its_children(tmp_path: Path) -> None:
    """It needs no `if __name__ == "__main__"`."""
    script = tmp_path / "script.py"
    script.write_text(
        "from benchmarks.processes import Child\n"
        "from tests.benchmarks.children import obey\n"
        "print('once', __file__, flush=True)\n"
        "child = Child(obey)\n"
        "child.send(('echo', b''))\n"
        "print(child.receive(60).head['here'], __file__)\n"
        "child.kill()\n"
    )
    found = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert found.stdout == f"once {script}\nTrue {script}\n", found.stderr


def test_a_deep_temporary_folder_has_no_room_for_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 25)
    deep.mkdir()
    code = (
        "import tempfile\n"
        "from benchmarks.processes import Child\n"
        "from tests.benchmarks.children import obey\n"
        "child = Child(obey)\n"
        "child.send(('echo', b''))\n"
        "print(child.receive(60).head['here'], tempfile.gettempdir())\n"
        "child.kill()\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(deep)},
    )
    assert found.stdout == f"True {deep}\n", found.stderr
    assert not [*deep.iterdir()]


def look(parent: processes.Parent, folder: str) -> None:
    import torch

    assert torch.tensor(1) == 1
    same = Path.cwd() == Path(folder)
    parent.send({"folder": same, "variable": os.environ["LONGTAIL_TEST"]})


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ("exit", "by itself, with exit status 0"),
        ("crash", "SIGSEGV, a crash in compiled code"),
        ("close", "its process "),
        pytest.param("kill server", "its process ", marks=pytest.mark.slow),
        ("noise", "its process "),
    ],
)
def test_the_end_of_a_child_has_a_reason(child: Child, request_: str, reason: str) -> None:
    child.send(request_)
    with pytest.raises(Ended, match=reason):
        while True:
            child.receive(LONG)
    after = Child(obey)  # another child does not notice
    after.send(("echo", b"fine"))
    assert after.receive(LONG).body == b"fine"
    after.kill()


def test_a_fork_of_the_child_does_not_answer_for_it(child: Child) -> None:
    child.send("fork")
    child.receive(LONG)
    with pytest.raises(Overdue):
        child.receive(0.3)
    child.send(("echo", b"once"))
    assert child.receive(LONG).body == b"once"


def test_a_child_that_hangs_is_overdue_and_can_be_killed(child: Child) -> None:
    child.send("sleep")
    with pytest.raises(Overdue):
        child.receive(0.1)
    child.kill()
    with pytest.raises(Ended):
        child.send("echo")
        child.receive(LONG)


def test_endless_output_is_kept_in_part(child: Child) -> None:
    child.send("print")
    child.receive(LONG)
    child.send("exit")
    with pytest.raises(Ended):
        child.receive(LONG)
    found, until = "", time.monotonic() + LONG
    while "omitted" not in found and time.monotonic() < until:
        found += child.output()
        time.sleep(0.01)
    assert found.startswith("printed\n")
    assert len(found) < 3 * processes.KEPT_OUTPUT


@pytest.mark.slow
def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal\n"
        "from benchmarks.processes import Child\n"
        "from tests.benchmarks.children import obey\n"
        "if __name__ == '__main__':\n"
        "    child = Child(obey)\n"
        "    child.send(('echo', b''))\n"
        "    child.receive(60)\n"
        "    child.send('sleep')\n"
        "    print(child._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    pid, until = int(done.stdout), time.monotonic() + LONG
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return not Path("/proc").is_dir()
    return state != "Z"
