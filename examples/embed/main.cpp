// Opens a model, shows it a picture (a blank one without), prints the top 5 classes.
#include <cstdio>
#include <exception>
#include <wins/wins.hpp>

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "usage: embed MODEL.onnx [PICTURE]\n");
    return 2;
  }
  wins::Model model = wins::Model::open(argv[1]);
  const wins::Tensor input =
      argc > 2 ? model.read_image(argv[2]) : wins::Tensor(wins::DType::f32, model.input_shape());
  const wins::Tensor scores = model.run(input);
  for (const wins::Prediction& p : model.top(scores, 5)) {
    std::printf("%5.1f %%  %s\n", p.probability * 100, p.label.c_str());
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "embed: %s\n", error.what());
  return 1;
}
