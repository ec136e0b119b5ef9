// ResNets: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; ImageNet forms as
// in torchvision (stride in the 3x3 convolution of a bottleneck), CIFAR forms of section 4.2 with
// projection shortcuts.
#include "wins/base/error.hpp"
#include "zoo_builder.hpp"

namespace wins::graph {
namespace {

struct ResNetSpec {
  std::vector<std::int64_t> blocks;  ///< per stage
  std::vector<std::int64_t> widths;
  bool bottleneck = false;
  bool cifar = false;
};

struct BlockSpec {
  std::string name;
  std::int64_t width = 0;
  std::int64_t stride = 1;
};

ValueId shortcut(ZooBuilder& net, const BlockSpec& block, ValueId x, std::int64_t channels) {
  if (block.stride == 1 && net.channels(x) == channels) return x;
  const ValueId projected = net.conv(block.name + ".downsample.0", x, {channels, 1, block.stride, 0, false});
  return net.batch_norm(block.name + ".downsample.1", projected);
}

ValueId basic_block(ZooBuilder& net, const BlockSpec& block, ValueId x) {
  ValueId y = net.conv(block.name + ".conv1", x, {block.width, 3, block.stride, 1, false});
  y = net.relu(block.name + ".relu1", net.batch_norm(block.name + ".bn1", y));
  y = net.conv(block.name + ".conv2", y, {block.width, 3, 1, 1, false});
  y = net.batch_norm(block.name + ".bn2", y);
  y = net.add(block.name + ".add", y, shortcut(net, block, x, block.width));
  return net.relu(block.name + ".relu2", y);
}

ValueId bottleneck_block(ZooBuilder& net, const BlockSpec& block, ValueId x) {
  const std::int64_t expanded = 4 * block.width;
  ValueId y = net.conv(block.name + ".conv1", x, {block.width, 1, 1, 0, false});
  y = net.relu(block.name + ".relu1", net.batch_norm(block.name + ".bn1", y));
  y = net.conv(block.name + ".conv2", y, {block.width, 3, block.stride, 1, false});
  y = net.relu(block.name + ".relu2", net.batch_norm(block.name + ".bn2", y));
  y = net.batch_norm(block.name + ".bn3", net.conv(block.name + ".conv3", y, {expanded, 1, 1, 0, false}));
  y = net.add(block.name + ".add", y, shortcut(net, block, x, expanded));
  return net.relu(block.name + ".relu3", y);
}

ValueId stem(ZooBuilder& net, const ResNetSpec& spec) {
  const bool small = spec.cifar || small_input(net.options());
  const std::int64_t width = spec.widths.front();
  const ConvSpec conv = small ? ConvSpec{width, 3, 1, 1, false} : ConvSpec{width, 7, 2, 3, false};
  const ValueId x = net.relu("relu", net.batch_norm("bn1", net.conv("conv1", net.input(), conv)));
  return small ? x : net.max_pool("maxpool", x, {0, 3, 2, 1, false});
}

ResNetSpec spec_of(const std::string& arch, const ZooOptions& options) {
  const std::int64_t base = options.base_channels > 0 ? options.base_channels : 16;
  if (arch == "resnet18") return {{2, 2, 2, 2}, {64, 128, 256, 512}, false, false};
  if (arch == "resnet50") return {{3, 4, 6, 3}, {64, 128, 256, 512}, true, false};
  if (arch == "resnet8") return {{1, 1, 1}, {base, 2 * base, 4 * base}, false, true};
  if (arch == "resnet14") return {{2, 2, 2}, {base, 2 * base, 4 * base}, false, true};
  wins::fail("unknown residual network '{}'", arch);
}

}  // namespace

Graph zoo_resnet(const std::string& arch, const ZooOptions& options) {
  const ResNetSpec spec = spec_of(arch, options);
  ZooBuilder net(arch, options);
  ValueId x = stem(net, spec);
  for (std::size_t stage = 0; stage < spec.blocks.size(); ++stage) {
    for (std::int64_t i = 0; i < spec.blocks[stage]; ++i) {
      const BlockSpec block{"layer" + std::to_string(stage + 1) + "." + std::to_string(i), spec.widths[stage],
                            stage > 0 && i == 0 ? 2 : 1};
      x = spec.bottleneck ? bottleneck_block(net, block, x) : basic_block(net, block, x);
    }
  }
  x = net.flatten("flatten", net.global_average("avgpool", x));
  return net.finish(net.linear("fc", x, options.classes));
}

}  // namespace wins::graph
