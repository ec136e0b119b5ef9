// VGG-16 without batch norm: Simonyan & Zisserman, ICLR 2015, configuration D, as in torchvision.
#include "zoo_builder.hpp"

namespace wins::graph {
namespace {

constexpr std::int64_t kPooled = 7;

/// [inputs, kPooled] matrix of adaptive average pooling: output i averages the inputs
/// floor(i * inputs / 7) up to ceil((i + 1) * inputs / 7); transposed on request.
Tensor pooling_matrix(std::int64_t inputs, bool transposed) {
  Tensor matrix(DType::f32, transposed ? wins::Shape{kPooled, inputs} : wins::Shape{inputs, kPooled});
  const auto data = matrix.mutable_data<float>();
  for (std::int64_t i = 0; i < kPooled; ++i) {
    const std::int64_t first = i * inputs / kPooled;
    const std::int64_t last = ((i + 1) * inputs + kPooled - 1) / kPooled;
    for (std::int64_t j = first; j < last; ++j) {
      data[static_cast<std::size_t>(transposed ? i * inputs + j : j * kPooled + i)] =
          1.0F / static_cast<float>(last - first);
    }
  }
  return matrix;
}

/// AdaptiveAvgPool2d(7): nothing at 7x7, an average pool for whole multiples, else two matrix
/// products. Maps smaller than 7x7 are passed on as they are.
ValueId adaptive_pool(ZooBuilder& net, ValueId x) {
  const std::int64_t height = net.extent(x, 2), width = net.extent(x, 3);
  if (height <= kPooled && width <= kPooled) return x;
  if (height == width && height % kPooled == 0) {
    return net.average_pool("avgpool", x, height / kPooled, height / kPooled);
  }
  if (width > kPooled) x = net.times("avgpool.columns", x, pooling_matrix(width, false), false);
  if (height > kPooled) x = net.times("avgpool.rows", x, pooling_matrix(height, true), true);
  return x;
}

}  // namespace

Graph zoo_vgg16(const std::string& arch, const ZooOptions& options) {
  ZooBuilder net(arch, options);
  ValueId x = net.input();
  int module = 0;
  const auto next = [&] { return "features." + std::to_string(module++); };
  for (const std::vector<std::int64_t>& stage : std::vector<std::vector<std::int64_t>>{
           {64, 64}, {128, 128}, {256, 256, 256}, {512, 512, 512}, {512, 512, 512}}) {
    for (const std::int64_t width : stage) {
      x = net.conv(next(), x, {width, 3, 1, 1, true});
      x = net.relu(next(), x);
    }
    x = net.max_pool(next(), x, {0, 2, 2, 0, false});
  }
  x = net.flatten("flatten", adaptive_pool(net, x));
  x = net.relu("classifier.1", net.linear("classifier.0", x, 4096));
  x = net.relu("classifier.4", net.linear("classifier.3", x, 4096));
  return net.finish(net.linear("classifier.6", x, options.classes));
}

}  // namespace wins::graph
