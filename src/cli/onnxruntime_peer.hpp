// ONNX Runtime as a contender, in a Python process beside ours.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "wins/base/tensor.hpp"

namespace wins::cli {

/// A worker that holds one ONNX Runtime session. It sleeps on a pipe while others are timed, and
/// times `session.run` inside its own process, so no transfer is counted.
class OnnxRuntimePeer {
 public:
  /// Throws `Error` when the Python interpreter (environment WINS_PYTHON, else the project's
  /// virtual environment) or its onnxruntime package is missing, or the model does not load.
  OnnxRuntimePeer(const std::string& model_path, const std::vector<Shape>& input_shapes, int threads,
                  std::uint64_t seed);
  ~OnnxRuntimePeer();
  OnnxRuntimePeer(const OnnxRuntimePeer&) = delete;
  OnnxRuntimePeer& operator=(const OnnxRuntimePeer&) = delete;

  double run_once();  ///< microseconds of one inference
  const std::string& version() const { return version_; }

 private:
  /// Sends one line, waits for the answer; throws `Error` with what the worker says went wrong.
  nlohmann::json ask(const std::string& line);

  int to_worker_ = -1;
  int from_worker_ = -1;
  int process_ = -1;
  std::string pending_;
  std::string version_;
};

}  // namespace wins::cli
