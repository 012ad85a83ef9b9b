"""The lines that a run prints as its cells finish."""

from __future__ import annotations

import dataclasses
import io
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from benchmarks.cli.parts import progress
from benchmarks.cli.parts.console import SafeConsole
from benchmarks.cli.parts.progress import ProgressDisplay
from benchmarks.datasets.families.imagenet_lt import ImageNetLT
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from tests.benchmarks.small import FIELDS
from tests.results.factory import failed_record, make_record


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    sets = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]
    flags = {"methods": "lift", "datasets": "glyphs100_lt", "device": "cpu", "set": sets}
    return plan.expand(read_sweep(None, flags)).cells[0]


def printed(cell: Cell, *records: Any) -> list[str]:
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream, width=300), len(records), 0) as display:
        for record in records:
            display.finished(cell, record)
    return stream.getvalue().splitlines()


def test_a_file_gets_no_control_characters(cell: Cell) -> None:
    """Nor does a terminal that the file is shown on."""
    failed = dataclasses.replace(failed_record("lift"), error="no \x1b[2Jluck")
    stream = io.StringIO()
    with ProgressDisplay(SafeConsole(stream), 1, 0) as display:
        display.finished(cell, failed)
    assert "no \\x1b[2Jluck" in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_a_cell_on_features_shows_no_wait(cell: Cell) -> None:
    (line,) = printed(cell, make_record())
    assert line.endswith("50.0 % (many 50.0 medium 50.0 few 50.0) 14.0 s")


def test_the_data_wait_is_printed(cell: Cell) -> None:
    (line,) = printed(cell, make_record(cost_data_wait_s=9.0))
    assert line.endswith("14.0 s, data wait 72.0 %")  # a few seconds need no advice
    (line,) = printed(cell, make_record(cost_data_wait_s=0.15))
    assert line.endswith("14.0 s, data wait 1.2 %")


def test_advice_on_a_long_data_wait_is_printed_once(cell: Cell) -> None:
    # 10,000 images in 125 s, 100 s of which are steps
    much = make_record(cost_data_wait_s=25.0, cost_fit_s=125.0, cost_images_seen=10_000)
    first, said, second = printed(cell, much, much)
    assert first.endswith("data wait 20.0 %")
    assert second.endswith("data wait 20.0 %")
    assert "images arrive at 80 a second, training could use 100" in said
    assert said.endswith("more CPU cores help")
    photographs = dataclasses.replace(cell, family=ImageNetLT(), dataset="imagenet_lt")
    _, said = printed(photographs, much)
    assert "--set imagenet_lt.cache_images=256" in said
    resized = dataclasses.replace(cell, family=ImageNetLT(cache_images=256))
    assert "--set" not in printed(resized, much)[1]


def test_a_failed_cell_and_a_cell_without_training(cell: Cell) -> None:
    failed, untrained = printed(
        cell, failed_record("lift"), make_record(cost_data_wait_s=0.0, cost_fit_s=0.0)
    )
    assert failed.endswith("failed: boom")
    assert untrained.endswith("1.5 s")


def test_a_long_name_keeps_the_counters_visible(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a data set lists its fields, so it may be long."""
    monkeypatch.setenv("TERM", "xterm")  # bars are for terminals that can redraw
    stream = io.StringIO()
    display = ProgressDisplay(Console(file=stream, width=80, force_terminal=True), 2, 0)
    long = dataclasses.replace(cell, dataset="glyphs100_lt (" + "n_max=20, " * 12 + ")")
    with display:
        display.started(long)
        display.stepped(2, 5, 1, 4)
        display._bars.refresh()
    lines = [line for line in stream.getvalue().splitlines() if "epoch 3/5" in line]
    assert lines and all("1/4" in line and "left" in line for line in lines)
    assert any("0/2" in line for line in stream.getvalue().splitlines())


def terminal(monkeypatch: pytest.MonkeyPatch, height: int = 30) -> Console:
    monkeypatch.setenv("TERM", "xterm")
    return Console(file=io.StringIO(), width=80, height=height, force_terminal=True)


def drawn(display: ProgressDisplay, console: Console) -> list[str]:
    """The bars as they are now."""
    with console.capture() as capture:
        console.print(display._bars.get_renderable())
    return capture.get().splitlines()


def test_every_lane_has_a_line(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    console = terminal(monkeypatch)
    display = ProgressDisplay(console, 5, 1)
    first, second, _ = display.lanes(3)
    first.preparing("loading photographs", 1, 4)
    second.started(cell)
    second.stepped(1, 5, 4, 4)
    sweep, *lines = drawn(display, console)
    assert "sweep" in sweep and "1/6" in sweep
    assert "loading photographs" in lines[0] and "1/4" in lines[0]
    assert cell.title[:20] in lines[1] and "8/20" in lines[1]
    assert "waiting" in lines[2]
    assert len(lines) == 3  # no bar of an epoch

    second.finished(cell, make_record())
    display.preparing("waiting for 2 cells of another run")  # in the first lane that is idle
    title, heads, row, sweep, *lines = drawn(display, console)
    assert "so far: glyphs100_lt" in title and "overall" in heads
    assert row.split()[:3] == ["lift", "1", "50.0"]
    assert "2/6" in sweep
    assert "loading photographs" in lines[0]
    assert "waiting for 2 cells" in lines[1]


@pytest.mark.parametrize(("height", "shown"), [(30, 8), (9, 4), (2, 1)])
def test_lanes_that_do_not_fit_are_counted(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, height: int, shown: int
) -> None:
    console = terminal(monkeypatch, height)
    display = ProgressDisplay(console, 40, 0)
    for lane in display.lanes(32):
        lane.started(cell)
        lane.stepped(0, 2, 1, 4)
    lines = drawn(display, console)
    assert sum("1/8" in line for line in lines) == shown
    assert f"and {32 - shown} more" in lines[-1]
    display.lanes(2)  # replace the others
    assert not any("1/8" in line for line in drawn(display, console))


def test_the_table_so_far_has_what_was_there_before(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = terminal(monkeypatch)
    before = [(cell, make_record(seed=0, overall=40.0)), (cell, failed_record("lift", 1))]
    display = ProgressDisplay(console, 1, 2, {}, before)
    assert drawn(display, console)[2].split()[:3] == ["lift", "1", "40.0"]
    display.finished(cell, make_record(seed=2, overall=60.0))
    assert drawn(display, console)[2].split()[:3] == ["lift", "2", "50.0"]
    low = terminal(monkeypatch, height=9)
    assert "overall" not in "".join(drawn(ProgressDisplay(low, 1, 2, {}, before), low))


def test_one_lane_looks_like_the_whole(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    console = terminal(monkeypatch)
    display = ProgressDisplay(console, 2, 0)
    (lane,) = display.lanes(1)
    lane.started(cell)
    lane.stepped(2, 5, 1, 4)
    sweep, cells, epoch = drawn(display, console)
    assert "0/2" in sweep and "9/20" in cells and "epoch 3/5" in epoch and "1/4" in epoch


def test_lanes_share_the_count(cell: Cell) -> None:
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream, width=300), 400, 0) as display:
        record = make_record(notes=("a note",))

        def work(lane: Any) -> None:
            for _ in range(50):
                lane.preparing("loading")
                lane.started(cell)
                lane.stepped(0, 1, 1, 1)
                lane.finished(cell, record)

        threads = [threading.Thread(target=work, args=(lane,)) for lane in display.lanes(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines if cell.title in line] == [
        f"{n}/400" for n in range(1, 401)
    ]
    assert lines.count("    note: a note") == 1
    assert display.done == 400


def until(stream: io.StringIO, text: str) -> None:
    while text not in stream.getvalue():
        time.sleep(0.001)


def reminders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_without_a_terminal_a_line_says_what_is_running(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert progress.QUIET_S == 30
    monkeypatch.setattr(progress, "QUIET_S", 0.01)
    stream = io.StringIO()
    keys = {cell.key: 7200.0, "another": 7200.0}
    with ProgressDisplay(Console(file=stream, width=300), 2, 3, keys) as display:
        assert len(reminders()) == 1
        one, two = display.lanes(2)
        until(stream, "3/5 done; about 2.0 h left\n")
        one.started(cell)
        one.stepped(1, 4, 1, 10)
        two.preparing("loading photographs", 3, 9)
        until(stream, f"; now: {cell.title} (epoch 2/4), loading photographs (3/9); about")
        one.finished(cell, make_record())
        until(stream, "… 4/5 done; now: loading photographs (3/9); about")
    assert reminders() == []
    ended = stream.getvalue()
    time.sleep(0.03)
    assert stream.getvalue() == ended


def test_a_cell_that_trains_is_named_also_after_it_prepared_something(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image method may read frozen features within its fit, after it was started."""
    console = terminal(monkeypatch)
    display = ProgressDisplay(console, 2, 0)
    lanes: list[Any] = [*display.lanes(1), *display.lanes(2)]
    for lane in lanes:
        lane.started(cell)
        lane.preparing("features of photographs train", 3, 9)
        assert lane.text() == "features of photographs train (3/9)"
        lane.stepped(1, 5, 4, 4)
        assert lane.text() == f"{cell.title} (epoch 2/5)"
    lines = [line for line in drawn(display, console) if "8/20" in line]
    assert len(lines) == 2
    assert all(line.lstrip().startswith(cell.title[:20]) for line in lines)


def test_what_several_lanes_prepare_is_said_once() -> None:
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream, width=300), 9, 0) as display:
        for lane in display.lanes(3):
            lane.preparing("loading photographs")
    assert stream.getvalue() == "… loading photographs\n"


def test_other_lines_make_a_reminder_unnecessary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 0.01)
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream, width=300), 9, 0) as display:
        with display._lock:
            display._say(Text("a line"))
            display._said = time.monotonic() + 1000
            said = stream.getvalue()
        time.sleep(0.05)
    assert stream.getvalue() == said and said.endswith("a line\n")


def test_a_terminal_needs_no_reminder(monkeypatch: pytest.MonkeyPatch) -> None:
    with ProgressDisplay(terminal(monkeypatch), 1, 0):
        assert reminders() == []
