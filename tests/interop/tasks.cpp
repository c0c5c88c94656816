// Writes and reads tasks with the C++ headers of flatc; see foreign.rs.

#include <iostream>
#include <iterator>
#include <string>

#include "training_task_generated.h"

static int write(char **fields, const std::string &hyperparams) {
  flatbuffers::FlatBufferBuilder builder;
  auto bytes = reinterpret_cast<const uint8_t *>(hyperparams.data());
  auto task_id = builder.CreateString(fields[0]);
  auto model_name = builder.CreateString(fields[1]);
  auto vector = builder.CreateVector(bytes, hyperparams.size());
  builder.Finish(CreateTrainingTask(builder, task_id, model_name, vector, std::stoi(fields[2])));
  std::cout.write(reinterpret_cast<const char *>(builder.GetBufferPointer()), builder.GetSize());
  return 0;
}

static int read(const std::string &buffer) {
  auto bytes = reinterpret_cast<const uint8_t *>(buffer.data());
  flatbuffers::Verifier verifier(bytes, buffer.size());
  if (!VerifyTrainingTaskBuffer(verifier)) {
    std::cerr << "the buffer does not verify\n";
    return 1;
  }
  auto task = GetTrainingTask(bytes);
  auto hyperparams = task->hyperparams();
  std::cout << task->task_id()->str() << '\n' << task->model_name()->str() << '\n';
  std::cout << task->max_epochs() << '\n';
  std::cout.write(reinterpret_cast<const char *>(hyperparams->data()), hyperparams->size());
  return 0;
}

int main(int argc, char **argv) {
  std::string input(std::istreambuf_iterator<char>(std::cin), {});
  return argc == 5 && std::string(argv[1]) == "write" ? write(argv + 2, input) : read(input);
}
