// SqueezeNet 1.0: Iandola et al. 2016, as in torchvision.
#include "zoo_builder.hpp"

namespace wins::graph {
namespace {

ValueId fire(ZooBuilder& net, const std::string& name, ValueId x, std::int64_t squeeze, std::int64_t expand) {
  x = net.conv(name + ".squeeze", x, {squeeze, 1, 1, 0, true});
  x = net.relu(name + ".squeeze_activation", x);
  const ValueId narrow = net.conv(name + ".expand1x1", x, {expand, 1, 1, 0, true});
  const ValueId wide = net.conv(name + ".expand3x3", x, {expand, 3, 1, 1, true});
  const ValueId left = net.relu(name + ".expand1x1_activation", narrow);
  const ValueId right = net.relu(name + ".expand3x3_activation", wide);
  return net.concat(name + ".cat", {left, right});
}

}  // namespace

Graph zoo_squeezenet(const std::string& arch, const ZooOptions& options) {
  ZooBuilder net(arch, options);
  const ConvSpec pool{0, 3, 2, 0, false};
  ValueId x = net.relu("features.1", net.conv("features.0", net.input(), {96, 7, 2, 0, true}));
  x = net.max_pool("features.2", x, pool, true);
  x = fire(net, "features.3", x, 16, 64);
  x = fire(net, "features.4", x, 16, 64);
  x = fire(net, "features.5", x, 32, 128);
  x = net.max_pool("features.6", x, pool, true);
  x = fire(net, "features.7", x, 32, 128);
  x = fire(net, "features.8", x, 48, 192);
  x = fire(net, "features.9", x, 48, 192);
  x = fire(net, "features.10", x, 64, 256);
  x = net.max_pool("features.11", x, pool, true);
  x = fire(net, "features.12", x, 64, 256);
  x = net.conv("classifier.1", x, {options.classes, 1, 1, 0, true});
  x = net.global_average("classifier.3", net.relu("classifier.2", x));
  return net.finish(net.flatten("flatten", x));
}

}  // namespace wins::graph
