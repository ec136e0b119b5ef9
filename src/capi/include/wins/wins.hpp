// The short way in for programs that embed wins: open a model, run it, name what it sees.
//
//   wins::Model model = wins::Model::open("model.onnx");
//   for (const wins::Prediction& p : model.classify("cat.jpg")) std::cout << p.label << "\n";
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/runtime/session.hpp"

namespace wins {

/// One class and how likely it is.
struct Prediction {
  std::int64_t index = 0;
  std::string label;  ///< from the model's metadata; "class 7" without
  double probability = 0;
};

/// An ONNX model on a backend. Thread-safe, like runtime::Session. All errors are std::exception
/// with a one-line message that names the file, node or input.
class Model {
 public:
  static Model open(const std::filesystem::path& path, const runtime::SessionOptions& options = {});
  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  /// Inputs and outputs in the model's order; float32 NCHW pictures.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs);
  /// The first output of a model with one input.
  Tensor run(const Tensor& input);

  /// A JPEG or PNG file as the model's input, [1, C, H, W], resized and normalised as the model's
  /// metadata says.
  Tensor read_image(const std::filesystem::path& path) const;

  /// The `count` likeliest classes of one row of scores ([classes] or [1, classes], float32, before
  /// softmax), likeliest first.
  std::vector<Prediction> top(const Tensor& scores, std::size_t count = 5) const;
  /// read_image, run, top.
  std::vector<Prediction> classify(const std::filesystem::path& image, std::size_t count = 5);

  /// Class names from the metadata; may be empty.
  const std::vector<std::string>& classes() const;
  /// Shape of input `index`, with 1 for a dynamic batch; other dynamic extents as the metadata says.
  Shape input_shape(std::size_t index = 0) const;
  runtime::Session& session();

 private:
  struct State;
  explicit Model(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace wins
