#include "onnxruntime_peer.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "wins/base/error.hpp"

namespace wins::cli {
namespace {

// Each request is one JSON line; each answer is one JSON line. The best public settings: all graph
// optimisations, sequential execution, the given number of threads, spinning left on (default).
constexpr const char* kWorker = R"PY(
import json, sys, time
try:
    import numpy as np
    import onnxruntime as ort
    request = json.loads(sys.stdin.readline())
    options = ort.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(request["model"], options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(request["seed"])
    feeds = {i.name: generator.standard_normal(shape).astype(np.float32)
             for i, shape in zip(session.get_inputs(), request["shapes"])}
    print(json.dumps({"version": ort.__version__}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        session.run(None, feeds)
        print(json.dumps({"us": (time.perf_counter() - start) * 1e6}), flush=True)
except Exception as error:
    print(json.dumps({"error": str(error).replace("\n", " ")}), flush=True)
)PY";

std::string python_interpreter() {
  if (const char* chosen = std::getenv("WINS_PYTHON")) return chosen;
  std::string deps;
  if (const char* folder = std::getenv("WINS_DEPS")) {
    deps = folder;
  } else if (const char* cache = std::getenv("XDG_CACHE_HOME")) {
    deps = std::string(cache) + "/wins";
  } else if (const char* home = std::getenv("HOME")) {
    deps = std::string(home) + "/.cache/wins";
  }
  const std::string python = deps + "/venv/bin/python3";
  return std::filesystem::exists(python) ? python : "python3";
}

}  // namespace

OnnxRuntimePeer::OnnxRuntimePeer(const std::string& model_path, const std::vector<Shape>& input_shapes, int threads,
                                 std::uint64_t seed) {
  std::array<int, 2> down{};
  std::array<int, 2> up{};
  require(pipe2(down.data(), O_CLOEXEC) == 0, "onnxruntime: cannot make a pipe");
  require(pipe2(up.data(), O_CLOEXEC) == 0, "onnxruntime: cannot make a pipe");
  to_worker_ = down[1];
  from_worker_ = up[0];

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, down[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, up[1], STDOUT_FILENO);
  std::string python = python_interpreter();
  std::string flag = "-c";
  std::string worker = kWorker;
  std::array<char*, 4> arguments{python.data(), flag.data(), worker.data(), nullptr};
  const int status = posix_spawnp(&process_, python.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(down[0]);
  ::close(up[1]);
  require(status == 0, "onnxruntime: cannot start '{}' (set WINS_PYTHON)", python);

  const nlohmann::json request = {
      {"model", model_path}, {"shapes", input_shapes}, {"threads", threads}, {"seed", seed}};
  version_ = ask(request.dump()).value("version", "unknown");
}

OnnxRuntimePeer::~OnnxRuntimePeer() {
  // End of input ends the worker's loop.
  if (to_worker_ >= 0) ::close(to_worker_);
  if (from_worker_ >= 0) ::close(from_worker_);
  if (process_ > 0) ::waitpid(process_, nullptr, 0);
}

nlohmann::json OnnxRuntimePeer::ask(const std::string& line) {
  const std::string request = line + "\n";
  const auto sent = ::write(to_worker_, request.data(), request.size());
  require(sent == static_cast<ssize_t>(request.size()), "onnxruntime: the worker does not listen");
  std::size_t end = 0;
  while ((end = pending_.find('\n')) == std::string::npos) {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(from_worker_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    require(got > 0, "onnxruntime: the worker ended without an answer");
    pending_.append(buffer.data(), static_cast<std::size_t>(got));
  }
  const std::string answer = pending_.substr(0, end);
  pending_.erase(0, end + 1);
  auto parsed = nlohmann::json::parse(answer, nullptr, false);
  require(!parsed.is_discarded(), "onnxruntime: unexpected answer '{}'", answer);
  require(!parsed.contains("error"), "onnxruntime: {}", parsed.value("error", ""));
  return parsed;
}

double OnnxRuntimePeer::run_once() { return ask("run").at("us").get<double>(); }

}  // namespace wins::cli
