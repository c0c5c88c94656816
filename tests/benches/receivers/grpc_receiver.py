"""A grpcio server on a Unix socket; the scheduler calls it."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from measure import measure, pin, ready

address, protos = pin()
sys.path.append(protos)
messages, services = grpc.protos_and_services("bench.proto")


class Trainer(services.TrainerServicer):
    def Run(self, task, context):  # noqa: ARG002, N802
        return self.answer(task)

    def RunAll(self, tasks, context):  # noqa: ARG002, N802
        return map(self.answer, tasks)

    def answer(self, task):
        read_ns, touched_ns, check = measure(task.task_id, task.model_name, task.max_epochs, task.hyperparams)
        return messages.Answer(read_ns=read_ns, touched_ns=touched_ns, check=check)


server = grpc.server(ThreadPoolExecutor(max_workers=1), options=[("grpc.max_receive_message_length", -1)])
services.add_TrainerServicer_to_server(Trainer(), server)
server.add_insecure_port(address)
server.start()
ready()
server.wait_for_termination()
