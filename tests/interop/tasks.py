"""Writes and reads tasks with the stock `flatbuffers` package; see foreign.rs."""

import sys

import flatbuffers
import TrainingTask


def write(task_id: str, model_name: str, max_epochs: str, hyperparams: bytes) -> bytes:
    builder = flatbuffers.Builder()
    task_id_at = builder.CreateString(task_id)
    model_name_at = builder.CreateString(model_name)
    hyperparams_at = builder.CreateByteVector(hyperparams)
    TrainingTask.TrainingTaskStart(builder)
    TrainingTask.TrainingTaskAddTaskId(builder, task_id_at)
    TrainingTask.TrainingTaskAddModelName(builder, model_name_at)
    TrainingTask.TrainingTaskAddHyperparams(builder, hyperparams_at)
    TrainingTask.TrainingTaskAddMaxEpochs(builder, int(max_epochs))
    # With a file identifier, which the schema does not name and nobody minds; tasks.cpp has none.
    builder.Finish(TrainingTask.TrainingTaskEnd(builder), b"TASK")
    return bytes(builder.Output())


def read(buffer: bytes) -> bytes:
    task = TrainingTask.TrainingTask.GetRootAs(buffer)
    hyperparams = bytes(task.Hyperparams(at) for at in range(task.HyperparamsLength()))
    epochs = str(task.MaxEpochs()).encode()
    return b"\n".join([task.TaskId(), task.ModelName(), epochs, hyperparams])


if __name__ == "__main__":
    content = sys.stdin.buffer.read()
    if sys.argv[1] == "write":
        sys.stdout.buffer.write(write(*sys.argv[2:], content))
    else:
        sys.stdout.buffer.write(read(content))
