#include "wins/graph/zoo.hpp"

#include <fmt/format.h>

#include <map>

#include "wins/base/error.hpp"
#include "zoo_builder.hpp"

namespace wins::graph {
namespace {

using Builder = Graph (*)(const std::string&, const ZooOptions&);

const std::map<std::string, Builder>& architectures() {
  static const std::map<std::string, Builder> all = {
      {"resnet8", zoo_resnet},          {"resnet14", zoo_resnet}, {"resnet18", zoo_resnet},
      {"resnet50", zoo_resnet},         {"vgg16", zoo_vgg16},     {"squeezenet1_0", zoo_squeezenet},
      {"densenet121", zoo_densenet121},
  };
  return all;
}

}  // namespace

std::vector<std::string> zoo_names() {
  std::vector<std::string> names;
  for (const auto& [name, builder] : architectures()) names.push_back(name);
  return names;
}

Graph zoo(const std::string& arch, const ZooOptions& options) {
  const auto found = architectures().find(arch);
  wins::require(found != architectures().end(), "unknown architecture '{}'; there are {}", arch,
                fmt::join(zoo_names(), ", "));
  return found->second(arch, options);
}

}  // namespace wins::graph
