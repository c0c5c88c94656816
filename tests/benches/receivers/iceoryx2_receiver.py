"""iceoryx2: the sample is viewed where the publisher wrote it; an event says that it is there."""

import ctypes

import iceoryx2 as iox2
from measure import measure, pin, ready


class TaskHeader(ctypes.Structure):
    _fields_ = [
        ("task_id", ctypes.c_char * 32),
        ("model_name", ctypes.c_char * 32),
        ("max_epochs", ctypes.c_int32),
    ]

    @staticmethod
    def type_name() -> str:
        return "TaskHeader"


class Answer(ctypes.Structure):
    _fields_ = [("read_ns", ctypes.c_uint64), ("touched_ns", ctypes.c_uint64), ("check", ctypes.c_uint64)]

    @staticmethod
    def type_name() -> str:
        return "Answer"


(name,) = pin()
iox2.set_log_level(iox2.LogLevel.Error)
node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)


def service(part: str):
    return node.service_builder(iox2.ServiceName.new(f"{name}/{part}"))


tasks = (
    service("tasks")
    .publish_subscribe(iox2.Slice[ctypes.c_uint8])
    .user_header(TaskHeader)
    .open()
    .subscriber_builder()
    .create()
)
answers = service("answers").publish_subscribe(Answer).open().publisher_builder().create()
task_sent = service("task-sent").event().open().listener_builder().create()
answer_sent = service("answer-sent").event().open().notifier_builder().create()
ready()
while True:
    while (sample := tasks.receive()) is not None:
        header = sample.user_header().contents
        answer = measure(
            header.task_id.decode(),
            header.model_name.decode(),
            header.max_epochs,
            sample.payload().as_memory_view(),
        )
        del header, sample
        answers.loan_uninit().write_payload(Answer(*answer)).send()
        answer_sent.notify()
    task_sent.blocking_wait()
