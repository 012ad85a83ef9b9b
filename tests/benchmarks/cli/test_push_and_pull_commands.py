"""The verbs `push` and `pull`, with a hub on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import run_benchmarks
from results.record_file import text_of
from results.schema import Record
from results.store import Store
from tests.benchmarks.hub_server import Hub, lead_client_to, serving
from tests.results.factory import failed_record, make_record

Command = Callable[..., tuple[int, str]]
PREDICTIONS = {"ids": np.array(["a.png", "b.png"]), "labels": np.array([0, 1])}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, a token for it and an empty cache for its client."""
    from huggingface_hub import constants

    with serving() as found:
        lead_client_to(found, tmp_path / "cache", monkeypatch)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", "hf_made_up")
        monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        monkeypatch.chdir(tmp_path)
        yield found


@pytest.fixture
def command(hub: Hub, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line; returns its status and what was printed, as one line."""

    def run(*words: str) -> tuple[int, str]:
        status = run_benchmarks.main(list(words))
        printed = capsys.readouterr()
        return status, " ".join((printed.out + printed.err).split())

    return run


@pytest.fixture
def records() -> list[Record]:
    """Three finished records and a failed one, in the folder `mine`."""
    store = Store(Path("mine"))
    made = [make_record(seed=seed, overall=50.0 + seed) for seed in range(3)]
    for record in made:
        store.write(record, PREDICTIONS)
    made.append(failed_record(method="sage"))
    store.write(made[-1], None)
    return made


def files(folder: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (Path(folder) / "records").iterdir()}


def test_there_and_back(command: Command, hub: Hub, records: list[Record]) -> None:
    (Path("mine") / "records" / "notes.txt").write_text("private")
    status, said = command("push", "mine", "--to", "ada/runs")
    assert status == 0, said
    assert f"4 records sent to {hub.url}/datasets/ada/runs, 0 files there already." in said
    assert hub.tokens == {"Bearer hf_made_up"}
    stored = hub.files["ada/runs"]
    (Path("mine") / "records" / "notes.txt").unlink()
    mine = files("mine")
    assert {path: content for path, content in stored.items() if path != "README.md"} == {
        f"records/{name}": content for name, content in mine.items()
    }
    status, said = command("pull", "ada/runs", "--out", "theirs")
    assert (status, "4 records taken: theirs/records" in said) == (0, True), said
    assert files("theirs") == mine
    assert sorted(os.listdir("theirs")) == ["records"]
    assert Store(Path("theirs")).all()[0] == sorted(records, key=lambda record: record.key)
    status, said = command("pull", "ada/runs", "--out", "theirs")
    assert (status, "0 records taken, 4 there already" in said) == (0, True), said


def test_the_card(command: Command, hub: Hub, records: list[Record]) -> None:
    command("push", "mine", "--to", "ada/runs")
    card = hub.files["ada/runs"]["README.md"].decode()
    assert card.startswith("---\npretty_name: ")
    assert "4 records of longtail-vlm, 3 of them finished" in card
    assert "- methods: lift, sage" in card
    assert "pull ada/runs --out results/theirs" in card
    assert "51.0" in card  # the mean of the three seeds


def test_what_is_there_is_not_sent_again_and_not_replaced(
    command: Command, hub: Hub, records: list[Record]
) -> None:
    command("push", "mine", "--to", "ada/runs", "--without-predictions")
    assert not any(path.endswith(".npz") for path in hub.files["ada/runs"])
    status, said = command("push", "mine", "--to", "ada/runs")
    assert (status, "0 records sent" in said, "4 files there already" in said) == (0, True, True)
    assert sum(path.endswith(".npz") for path in hub.files["ada/runs"]) == 3
    other = f"records/{records[0].key}.json"
    hub.files["ada/runs"][other] += b"\n"
    before = dict(hub.files["ada/runs"])
    status, said = command("push", "mine", "--to", "ada/runs")
    assert status == 2
    assert f"ada/runs has other files of 1 cell than mine: {other}; nothing was sent" in said
    assert hub.files["ada/runs"] == before


def test_records_may_come_without_predictions_which_may_come_later(
    command: Command, hub: Hub, records: list[Record]
) -> None:
    command("push", "mine", "--to", "ada/runs", "--without-predictions")
    status, said = command("pull", "ada/runs", "--out", "theirs")
    assert (status, "Refused" in said) == (0, False), said
    assert "4 records taken (3 without predictions): theirs/records" in said
    command("push", "mine", "--to", "ada/runs")
    status, said = command("pull", "ada/runs", "--out", "theirs")
    assert (status, "0 records taken, 4 there already" in said) == (0, True), said
    assert files("theirs") == files("mine")


def test_the_card_of_another_data_set_stays(
    command: Command, hub: Hub, records: list[Record]
) -> None:
    hub.files["ada/photos"] = {"README.md": b"# Photos", "a.jpg": b""}
    status, said = command("push", "mine", "--to", "ada/photos")
    assert (status, "push to ada/photos: it is a data set of another kind" in said) == (2, True)
    assert hub.files["ada/photos"] == {"README.md": b"# Photos", "a.jpg": b""}


def test_a_card_of_some_records_alone_is_said(
    command: Command, hub: Hub, records: list[Record]
) -> None:
    command("push", "mine", "--to", "ada/runs")
    Store(Path("more")).write(make_record(seed=7), PREDICTIONS)
    status, said = command("push", "more", "--to", "ada/runs")
    assert (status, "leaves out 4 records of other folders: pull into more" in said) == (0, True)
    command("pull", "ada/runs", "--out", "more")
    _, said = command("push", "more", "--to", "ada/runs")
    assert "leaves out" not in said and b"5 records" in hub.files["ada/runs"]["README.md"]


def test_file_systems_without_hard_links(
    command: Command, hub: Hub, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    command("push", "mine", "--to", "ada/runs")
    monkeypatch.setattr(os, "link", refused)
    status, said = command("pull", "ada/runs", "--out", "theirs")
    assert (status, files("theirs")) == (0, files("mine")), said


def test_a_new_repository_is_private_unless_said(
    command: Command, hub: Hub, records: list[Record]
) -> None:
    command("push", "mine", "--to", "ada/runs")
    command("push", "mine", "--to", "ada/open", "--public")
    assert hub.private == {"ada/runs": True, "ada/open": False}


def test_only_sound_records_are_taken(command: Command, hub: Hub, records: list[Record]) -> None:
    command("push", "mine", "--to", "ada/runs")
    stored, keys = hub.files["ada/runs"], [record.key for record in records]
    stored[f"records/{keys[0]}.json"] = stored[f"records/{keys[0]}.json"].replace(b"50.0", b"99.0")
    stored[f"records/{keys[1]}.npz"] = stored[f"records/{keys[0]}.npz"][:-1] + b"x"
    stored["records/renamed.json"] = stored[f"records/{keys[2]}.json"]
    stored |= {"evil.py": b"raise SystemExit", "records/x/y.json": b"{}", "records/.z.json": b"{}"}
    status, said = command("pull", "ada/runs", "--out", "theirs")
    assert status == 1
    assert f"Refused: {keys[0]}.json: the checksum is not that of the record" in said
    assert f"Refused: {keys[1]}.json: Damaged predictions {keys[1]}.npz" in said
    assert "Refused: renamed.json: contains the record of another cell" in said
    assert "2 records taken" in said
    assert {name.partition(".")[0] for name in files("theirs")} == {keys[2], keys[3]}
    assert not any("evil" in request or "/x/" in request for request in hub.requests)


def test_a_different_record_stays(command: Command, hub: Hub, records: list[Record]) -> None:
    command("push", "mine", "--to", "ada/runs")
    one = Path("mine") / "records" / f"{records[0].key}.json"
    kept = text_of(make_record(seed=0, overall=1.0, key=records[0].key), None).encode()
    one.write_bytes(kept)
    status, said = command("pull", "ada/runs", "--out", "mine")
    assert status == 1
    assert f"{records[0].key}.json: mine has another one of this cell, which stays" in said
    assert "0 records taken, 3 there already" in said
    assert one.read_bytes() == kept


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["push", "nowhere", "--to", "ada/runs"], "No records under nowhere"),
        (["push", "mine", "--to", "runs"], "'runs' is not the name of a data set on the hub"),
        (["push", "mine", "--to", "../../x"], "is not the name of a data set on the hub"),
        (["pull", "ada/none", "--out", "theirs"], "error: pull ada/none: RepositoryNotFoundError"),
        (["pull", "ada/empty", "--out", "theirs"], "pull ada/empty: there are no records (rec"),
        (["pull", "ada/large", "--out", "theirs"], "records/k.json has 67,108,865 bytes, too many"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line(
    command: Command, hub: Hub, records: list[Record], words: list[str], says: str
) -> None:
    hub.files |= {
        "ada/empty": {"README.md": b""},
        "ada/large": {"records/k.json": bytes(2**26 + 1)},
    }
    status, said = command(*words)
    assert (status, says in said) == (2, True), said
    assert not Path("theirs").exists()


def test_without_a_token_or_a_network(
    command: Command, hub: Hub, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for words in (("push", "mine", "--to", "ada/runs"), ("pull", "ada/runs", "--out", "theirs")):
        status, said = command(*words)
        assert status == 2
        assert said.startswith(f"error: {words[0]} ")
        assert "Connect" in said
    monkeypatch.delenv("HF_TOKEN")
    status, said = command("push", "mine", "--to", "ada/runs")
    assert status == 2
    assert "push needs a token that may write: set HF_TOKEN" in said
    assert json.dumps(hub.requests) == "[]"
