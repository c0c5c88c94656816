"""Forks, children, threads, and what a long life leaves behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import sysconfig

import pytest
import wire
from conftest import Start
from orchestrator import Orchestrator, metrics
from test_endings import outcome


def test_a_forked_child_reads_and_nothing_else(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import warnings; warnings.simplefilter("ignore", DeprecationWarning)
        tasks = trainwire.tasks()
        with next(tasks) as task:
            if os.fork() == 0:
                print(task.task_id, task.params, bytes(task.hyperparams)[:1], task.should_stop)
                sends = [
                    lambda: task.report(n=1), task.finish, lambda: task.fail("x"), task.tick,
                    lambda: task.busy(1), lambda: task.checkpoint("/"), trainwire.tasks, lambda: next(tasks),
                ]
                for send in sends:
                    try:
                        send()
                    except trainwire.ForkedError as error:
                        print(error.code, end=" ")
                sys.exit(5)          # runs __exit__ and atexit, which must not end the parent's task
            print("|", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
            task.finish(n=2)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert metrics(peer.acked_result()) == {"n": 2}
    assert trainer.ends().splitlines() == ["t1 {'lr': 0.1} b'\\x81' False", "forked " * 8 + "| 5"]
    assert [wire.TABLES[kind] for kind, _ in peer.closed()] == ["Bye"]


def test_data_loader_workers(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        def load(n):
            return n * trainwire.current().params["lr"]
        with trainwire.connect() as task:
            with multiprocessing.get_context("fork").Pool(3) as pool:
                task.finish(sum=sum(pool.map(load, range(100))))
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert round(metrics(peer.acked_result())["sum"]) == 495
    trainer.ends()


def test_a_child_that_inherits_the_environment_is_not_the_trainer(
    orchestrator: Orchestrator, start: Start
) -> None:
    trainer = start("""
        import subprocess
        child = "import trainwire; trainwire.connect()"
        with trainwire.connect() as task:
            out = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stderr
            print("NotOwnerError" in out, f"process {os.getpid()} is the trainer" in out)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert outcome(peer.acked_result()) == "Succeeded"
    assert trainer.ends() == "True True\n"


def test_a_fork_that_keeps_the_socket(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import warnings; warnings.simplefilter("ignore", DeprecationWarning)
        trainwire.connect()
        if (child := os.fork()) == 0:
            os.close(1), os.close(2)
            time.sleep(30)
            os._exit(0)
        print(child, flush=True)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert outcome(peer.acked_result()) == "Failed"  # exited without finish()
    assert peer.takes_one_task
    child = int(trainer.ends())
    import os
    import signal

    os.kill(child, signal.SIGKILL)


def test_threads_report_together(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import threading
        with trainwire.connect() as task:
            def work(n):
                for row in range(500):
                    task.report({f"thread{n}": row})
                    task.should_stop
            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    rows: dict[bytes, list[float]] = {}
    while True:
        kind, message = peer.next()
        if kind == wire.RESULT:
            break
        if kind == wire.REPORT:
            rows.setdefault(message.names[0], []).extend(message.values)
    assert sorted(rows) == [f"thread{n}".encode() for n in range(4)]
    assert all(values == [float(row) for row in range(500)] for values in rows.values())
    peer.ack(message)
    trainer.ends()


def test_a_mapping_that_another_thread_changes_keeps_names_and_numbers_together(
    orchestrator: Orchestrator, start: Start
) -> None:
    trainer = start("""
        import threading
        with trainwire.connect() as task:
            row, over = {}, threading.Event()
            def change():
                n = 0
                while not over.is_set():
                    row.clear()
                    row[f"n{n % 7}"] = n % 7  # a name of its own each time, where another one was perhaps
                    n += 1
            def report():
                for _ in range(20_000):
                    task.report(row)
            threads = [threading.Thread(target=report) for _ in range(2)]
            threading.Thread(target=change).start()
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            over.set()
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    seen: set[bytes] = set()
    while True:
        kind, message = peer.next()
        if kind == wire.RESULT:
            break
        if kind == wire.REPORT and len(message.names or ()):
            [name] = message.names
            assert set(message.values) == {float(name[1:])}
            seen.add(name)
    assert seen
    peer.ack(message)
    trainer.ends()


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_a_free_threaded_python_stays_one() -> None:
    program = "import sys, trainwire; sys.exit(sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_threads_that_begin_at_once_share_one_connection(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import threading
        def work():
            print("begins", flush=True)
            for task in trainwire.tasks():
                with task:
                    task.finish(n=1)
        threads = [threading.Thread(target=work) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """)
    peer = orchestrator.accept()
    assert trainer.stdout is not None
    assert [trainer.stdout.readline() for _ in range(2)] == ["begins\n", "begins\n"]
    peer.welcome()
    for delivery in (1, 2):
        peer.deliver(delivery)
        assert metrics(peer.acked_result(delivery)) == {"n": 1}
    peer.bye()
    trainer.ends()
    orchestrator.listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        orchestrator.listener.accept()


def test_a_signal_handler_does_not_connect_while_its_thread_does(
    orchestrator: Orchestrator, start: Start
) -> None:
    trainer = start("""
        import signal
        def handler(*_):
            try:
                trainwire.tasks()
            except trainwire.TaskStateError as error:
                print(error.code, flush=True)
        signal.signal(signal.SIGUSR1, handler)
        for task in trainwire.tasks():
            with task:
                task.finish()
    """)
    peer = orchestrator.accept()
    trainer.send_signal(signal.SIGUSR1)
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "connecting\n"
    peer.welcome()
    peer.deliver(1)
    peer.acked_result()
    peer.bye()
    trainer.ends()


def test_a_task_finished_by_another_thread(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import threading
        tasks = trainwire.tasks()
        task = next(tasks)
        finisher = threading.Thread(target=lambda: (time.sleep(0.2), task.finish(n=1)))
        other = threading.Thread(target=lambda: print(next(tasks, None)))
        finisher.start()
        finisher.join()
        other.start()
        other.join()
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert metrics(peer.acked_result()) == {"n": 1}
    peer.bye()
    assert trainer.ends() == "None\n"


def test_two_threads_wait_at_once(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import threading
        tasks = trainwire.tasks()
        task = next(tasks)
        open("model", "w").close()
        saver = threading.Thread(target=lambda: (task.checkpoint("model"), print("stored")))
        saver.start()
        time.sleep(0.2)
        task.finish(n=1)
        saver.join()
        print("finished")
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    checkpoint = peer.until(wire.CHECKPOINT)
    result = peer.result()
    peer.ack(result)
    peer.ack(checkpoint)
    assert sorted(trainer.ends().split()) == ["finished", "stored"]


def test_memory_and_descriptors_do_not_grow(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        def size():
            return int(open("/proc/self/statm").read().split()[1]) * 4096, len(os.listdir("/proc/self/fd"))
        for n, task in enumerate(trainwire.tasks()):
            with task:
                task.params, memoryview(task.hyperparams)
                task.report(n=n)
                if n == 500:
                    before = size()
                task.finish(n=n)
        after = size()
        print(after[0] - before[0] < 4 << 20, after[1] <= before[1], task.params["n"])
    """)
    peer = orchestrator.accept().welcome()
    for delivery in range(1, 3001):
        hyperparams = b"\x82\xa1n\xcd" + delivery.to_bytes(2, "big") + b"\xa1b\xc5\x40\0" + bytes(0x4000)
        peer.deliver(delivery, wire.task(task_id=f"t{delivery}", hyperparams=hyperparams))
        peer.acked_result(delivery)
    peer.bye()
    assert trainer.ends() == "True True 3000\n"
