// Shared by the tests that run exported files in ONNX Runtime.
#pragma once

#include <cstdlib>

#include "onnx_testing.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::onnx {

/// Largest relative L2 error of an output, in float32: direct convolutions, and tiles of m.
inline constexpr double kDirectBound = 1e-5;
inline double bound_of(int m) { return m <= 2 ? 1e-5 : m == 4 ? 5e-5 : 2e-4; }

/// Which of ONNX Runtime's optimisation levels a case runs with.
enum class Levels { disabled = 1, enabled = 2, both = 3 };

/// What the only output of a graph must be.
struct Expectation {
  Tensor input;
  Tensor wanted;
  double bound = 0;
  Levels levels = Levels::both;
};

/// Writes `name`.onnx, and what it must compute as `name`.data.
inline void write_case(const std::filesystem::path& folder, const std::string& name, const graph::Graph& graph,
                       const Expectation& expected, bool portable = false) {
  save(graph, folder / (name + ".onnx"), {portable});
  pb::GraphProto record;
  const auto add = [&](const std::string& key, const Tensor& value) {
    *record.add_initializer() = write_tensor(key, value);
  };
  add("bound", Tensor::scalar(static_cast<float>(expected.bound)));
  add("levels", Tensor::scalar(static_cast<float>(expected.levels)));
  add(graph.value(graph.inputs.at(0)).name, expected.input);
  add(graph.value(graph.outputs.at(0)).name, expected.wanted);
  write_bytes(folder / (name + ".data"), record.SerializeAsString());
}

/// Same; the float64 reference says what is wanted.
inline void write_case(const std::filesystem::path& folder, const std::string& name, const graph::Graph& graph,
                       const Tensor& input, double bound, bool portable = false) {
  const auto wanted = runtime::ref::run(graph, {input}, runtime::ref::Precision::float64);
  write_case(folder, name, graph, {input, wanted.at(0), bound}, portable);
}

/// Runs every case of the folder, then removes the files.
inline void expect_agreement(const std::filesystem::path& folder) {
  const std::string command = std::string(WINS_PYTHON) + " " + WINS_SOURCE_DIR + "/tests/onnx/check_with_ort.py " +
                              folder.string() + " > " + (folder / "log").string() + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << read_file(folder / "log");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) std::filesystem::remove(entry.path());
}

}  // namespace wins::onnx
