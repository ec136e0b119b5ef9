// DenseNet-121: Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, as in
// torchvision (batch norm and ReLU stand before the convolutions).
#include "zoo_builder.hpp"

namespace wins::graph {
namespace {

constexpr std::int64_t kGrowth = 32;
constexpr std::int64_t kBottleneck = 4 * kGrowth;

ValueId dense_layer(ZooBuilder& net, const std::string& name, const std::vector<ValueId>& features) {
  ValueId x = features.size() == 1 ? features.front() : net.concat(name + ".cat", features);
  x = net.relu(name + ".relu1", net.batch_norm(name + ".norm1", x));
  x = net.conv(name + ".conv1", x, {kBottleneck, 1, 1, 0, false});
  x = net.relu(name + ".relu2", net.batch_norm(name + ".norm2", x));
  return net.conv(name + ".conv2", x, {kGrowth, 3, 1, 1, false});
}

ValueId dense_block(ZooBuilder& net, const std::string& name, ValueId x, int layers) {
  std::vector<ValueId> features = {x};
  for (int i = 1; i <= layers; ++i) {
    features.push_back(dense_layer(net, name + ".denselayer" + std::to_string(i), features));
  }
  return net.concat(name + ".cat", features);
}

ValueId transition(ZooBuilder& net, const std::string& name, ValueId x) {
  const std::int64_t halved = net.channels(x) / 2;
  x = net.relu(name + ".relu", net.batch_norm(name + ".norm", x));
  x = net.conv(name + ".conv", x, {halved, 1, 1, 0, false});
  return net.average_pool(name + ".pool", x, 2, 2);
}

}  // namespace

Graph zoo_densenet121(const std::string& arch, const ZooOptions& options) {
  ZooBuilder net(arch, options);
  const bool small = small_input(options);
  const ConvSpec stem = small ? ConvSpec{64, 3, 1, 1, false} : ConvSpec{64, 7, 2, 3, false};
  ValueId x = net.conv("features.conv0", net.input(), stem);
  x = net.relu("features.relu0", net.batch_norm("features.norm0", x));
  if (!small) x = net.max_pool("features.pool0", x, {0, 3, 2, 1, false});
  const std::vector<int> blocks = {6, 12, 24, 16};
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    x = dense_block(net, "features.denseblock" + number, x, blocks[i]);
    if (i + 1 < blocks.size()) x = transition(net, "features.transition" + number, x);
  }
  x = net.relu("relu", net.batch_norm("features.norm5", x));
  x = net.flatten("flatten", net.global_average("avgpool", x));
  return net.finish(net.linear("classifier", x, options.classes));
}

}  // namespace wins::graph
