"""Which checkpoint is offered, and which are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wire
from conftest import Start
from orchestrator import Orchestrator, Peer, text
from traced import folders_synced, strace

SAVE = """
    with trainwire.connect() as task:
        for epoch in range(5):
            path = task.workdir / f"{epoch}.pt"
            path.write_text(str(epoch))
            task.checkpoint(path, epoch=epoch, step=10 * epoch, keep_last=2)
"""

OFFERED = """
    with trainwire.connect() as task:
        at = task.last_checkpoint
        print(None if at is None else (os.path.basename(at), at.step, at.epoch), task.resume_path)
"""


def saved(orchestrator: Orchestrator, start: Start, script: str, work: Path, count: int) -> Any:
    """Runs the script, each of its checkpoints stored at once."""
    trainer = start(script)
    peer = orchestrator.accept().welcome()
    peer.deliver(1, work=str(work))
    for _ in range(count):
        peer.ack(peer.until(wire.CHECKPOINT))
    peer.acked_result()
    trainer.ends()
    return trainer


def offered(peer: Peer, work: Path, path: Path) -> None:
    checkpoint = wire.make("CheckpointRef", path=str(path), step=40, epoch=4.0)
    peer.deliver(1, attempt=2, work=str(work), lastCheckpoint=checkpoint)


def test_folders_made_for_a_checkpoint_are_on_the_disk_too(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    log, work = tmp_path / "calls", tmp_path / "made" / "for" / "it"
    script = """
        with trainwire.connect() as task:
            path = task.workdir / "new" / "newer" / "model.pt"
            path.parent.mkdir(parents=True)
            path.write_text("weights")
            task.checkpoint(path)
    """
    trainer = start(script, through=strace(log, "-y"))
    peer = orchestrator.accept().welcome()
    peer.deliver(1, work=str(work))
    peer.ack(peer.until(wire.CHECKPOINT))
    peer.acked_result()
    trainer.ends()
    path = work / "new" / "newer" / "model.pt"
    wanted = {str(path), *(str(folder) for folder in path.parents if folder.is_relative_to(tmp_path))}
    assert folders_synced(log) >= wanted


def test_keep_last_deletes_older_ones(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    work = tmp_path / "work"
    saved(orchestrator, start, SAVE, work, 5)
    assert sorted(path.name for path in work.glob("*.pt")) == ["3.pt", "4.pt"]


def test_keep_last_counts_folders_and_over_attempts(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    script = """
        with trainwire.connect() as task:
            for name in {names}:
                (task.workdir / name).mkdir(exist_ok=True)
                (task.workdir / name / "weights").write_text(name)
                task.checkpoint(task.workdir / name, keep_last=2)
    """
    saved(orchestrator, start, script.format(names=["a", "b"]), work, 2)
    # The second attempt saves `b` once more, which makes it the newest.
    saved(orchestrator, start, script.format(names=["c", "b"]), work, 2)
    assert sorted(path.name for path in work.iterdir() if path.is_dir()) == ["b", "c"]


def test_keep_last_leaves_alone_what_lies_elsewhere(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    script = """
        with trainwire.connect() as task:
            for name in ("one", "two", "three"):
                open(name, "w").close()
                task.checkpoint(name, keep_last=1)
            task.checkpoint(task.workdir, keep_last=1)  # all of it is the checkpoint
    """
    saved(orchestrator, start, script, tmp_path / "work", 4)
    assert {"one", "two", "three", "work"} <= {path.name for path in tmp_path.iterdir()}


def test_nothing_is_deleted_before_the_newer_one_is_stored(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    script = """
        with trainwire.connect() as task:
            for name in ("one", "two"):
                (task.workdir / name).touch()
                task.checkpoint(task.workdir / name, keep_last=1)
                print(name, flush=True)
    """
    trainer = start(script)
    peer = orchestrator.accept().welcome()
    peer.deliver(1, work=str(work))
    peer.ack(peer.until(wire.CHECKPOINT))
    second = peer.until(wire.CHECKPOINT)
    assert (work / "one").exists()
    peer.ack(second)
    peer.acked_result()
    assert trainer.ends() == "one\ntwo\n"
    assert not (work / "one").exists()


@pytest.mark.parametrize("keep", ["0", "-1"])
def test_keep_last_is_at_least_one(orchestrator: Orchestrator, start: Start, keep: str) -> None:
    trainer = start(f"""
        with trainwire.connect() as task:
            try:
                task.checkpoint("/", keep_last={keep})
            except ValueError as error:
                print(error)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.acked_result()
    assert trainer.ends() == "keep_last must be 1 or more\n"


def test_a_checkpoint_that_is_gone_is_replaced_by_an_older_one(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    saved(orchestrator, start, SAVE, work, 5)
    newest = work / "4.pt"
    newest.unlink()
    trainer = start(OFFERED)
    peer = orchestrator.accept().welcome()
    offered(peer, work, newest)
    peer.acked_result()
    assert trainer.ends() == f"('3.pt', 30, 3.0) {work / '3.pt'}\n"
    assert trainer.errors.count("is gone; offering") == 1


def test_without_an_older_one_there_is_none(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    trainer = start(OFFERED)
    peer = orchestrator.accept().welcome()
    offered(peer, tmp_path / "work", tmp_path / "empty")
    peer.acked_result()
    assert trainer.ends() == "None None\n"
    assert f"the checkpoint {tmp_path / 'empty'} is gone; offering nothing" in trainer.errors


def test_a_list_cut_short_by_a_crash_is_read_as_far_as_it_goes(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    saved(orchestrator, start, SAVE, work, 5)
    listed = work / ".checkpoints"
    listed.write_text(listed.read_text() + f"50 5 {work}/5.p")
    trainer = start(OFFERED)
    peer = orchestrator.accept().welcome()
    offered(peer, work, tmp_path / "gone")
    peer.acked_result()
    assert text(trainer.ends()).startswith("('4.pt', 40, 4.0)")


def test_an_offline_script_that_saves_elsewhere_gets_no_folder(start: Start, tmp_path: Path) -> None:
    trainer = start(
        """
        with trainwire.connect() as task:
            open("model", "w").close()
            task.checkpoint("model", keep_last=1)
        """,
        TRAINWIRE_SOCKET=None,
    )
    trainer.ends()
    assert (tmp_path / "model").exists() and not (tmp_path / ".trainwire").exists()
