#include <algorithm>
#include <charconv>
#include <cmath>

#include "augment.hpp"
#include "resize.hpp"
#include "wins/base/error.hpp"
#include "wins/data/loader.hpp"

namespace wins::data {
namespace {

constexpr std::int64_t kMaxExtent = 65536;

template <class T>
T parse_number(const std::string& key, std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && end == text.data() + text.size(), "metadata {}: '{}' is not a number", key,
          text);
  return value;
}

std::vector<std::string> split_text(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

std::string join(const std::vector<float>& values) {
  std::string text;
  for (const float value : values) text += fmt::format("{}{}", text.empty() ? "" : ",", value);
  return text;
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::string name = names[i];
    std::replace(name.begin(), name.end(), '\n', ' ');  // the separator
    text += (i == 0 ? "" : "\n") + name;
  }
  return text;
}

using Metadata = std::map<std::string, std::string>;

void read(const Metadata& metadata, const char* key, std::int64_t& value) {
  if (const auto entry = metadata.find(key); entry != metadata.end())
    value = parse_number<std::int64_t>(key, entry->second);
}

void read(const Metadata& metadata, const char* key, std::vector<float>& values) {
  const auto entry = metadata.find(key);
  if (entry == metadata.end()) return;
  values.clear();
  if (entry->second.empty()) return;
  for (const std::string& part : split_text(entry->second, ','))
    values.push_back(parse_number<float>(key, part));
}

}  // namespace

Metadata Preprocess::to_metadata() const {
  return {{"wins.input.channels", std::to_string(channels)},
          {"wins.input.height", std::to_string(height)},
          {"wins.input.width", std::to_string(width)},
          {"wins.input.resize", std::to_string(resize)},
          {"wins.input.mean", join(mean)},
          {"wins.input.deviation", join(deviation)},
          {"wins.classes", join(classes)}};
}

Preprocess Preprocess::from_metadata(const Metadata& metadata) {
  Preprocess preprocess;
  read(metadata, "wins.input.channels", preprocess.channels);
  read(metadata, "wins.input.height", preprocess.height);
  read(metadata, "wins.input.width", preprocess.width);
  read(metadata, "wins.input.resize", preprocess.resize);
  read(metadata, "wins.input.mean", preprocess.mean);
  read(metadata, "wins.input.deviation", preprocess.deviation);
  if (const auto entry = metadata.find("wins.classes"); entry != metadata.end() && !entry->second.empty())
    preprocess.classes = split_text(entry->second, '\n');
  return preprocess;
}

void check(const Preprocess& preprocess) {
  require(preprocess.channels == 1 || preprocess.channels == 3,
          "wins.input.channels is {}: pictures have 1 or 3", preprocess.channels);
  require(preprocess.height >= 1 && preprocess.height <= kMaxExtent,
          "wins.input.height is {}: expected 1 to {}", preprocess.height, kMaxExtent);
  require(preprocess.width >= 1 && preprocess.width <= kMaxExtent, "wins.input.width is {}: expected 1 to {}",
          preprocess.width, kMaxExtent);
  require(preprocess.resize >= 0 && preprocess.resize <= kMaxExtent,
          "wins.input.resize is {}: expected 0 to {}", preprocess.resize, kMaxExtent);
  const auto channels = static_cast<std::size_t>(preprocess.channels);
  for (const auto* values : {&preprocess.mean, &preprocess.deviation}) {
    const bool is_mean = values == &preprocess.mean;
    const char* key = is_mean ? "wins.input.mean" : "wins.input.deviation";
    require(values->empty() || values->size() == channels, "{} has {} values for {} channels", key,
            values->size(), channels);
    for (const float value : *values)
      require(std::isfinite(value) && (is_mean || value > 0), "{} holds {}", key, value);
  }
}

Tensor Preprocess::apply(const Image& image) const {
  check(*this);
  Tensor tensor(DType::f32, {channels, height, width});
  normalize(*this, fit(*this, image), tensor.mutable_data<float>().data());
  return tensor;
}

void measure_normalization(const Dataset& dataset, Preprocess& preprocess, std::size_t limit) {
  require(dataset.size() > 0 && limit > 0, "no pictures to measure mean and deviation from");
  preprocess.mean.clear();
  preprocess.deviation.clear();
  check(preprocess);
  const auto channels = static_cast<std::size_t>(preprocess.channels);
  std::vector<double> sum(channels, 0), squares(channels, 0);
  const std::size_t pictures = std::min(limit, dataset.size());
  double count = 0;
  std::string first_error;
  for (std::size_t i = 0; i < pictures; ++i) {
    Image image;
    try {
      image = fit(preprocess, dataset.load(i * dataset.size() / pictures));  // spread over all classes
    } catch (const Error& error) {
      if (first_error.empty()) first_error = error.what();
      continue;
    }
    count += static_cast<double>(image.height * image.width);
    for (std::size_t p = 0; p < image.pixels.size(); ++p) {
      const double value = image.pixels[p] / 255.0;
      sum[p % channels] += value;
      squares[p % channels] += value * value;
    }
  }
  require(count > 0, "every picture is broken: {}", first_error);
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = sum[c] / count;
    const double variance = std::max(squares[c] / count - mean * mean, 0.0);
    preprocess.mean.push_back(static_cast<float>(mean));
    // A channel that never changes carries nothing to scale.
    preprocess.deviation.push_back(variance > 1e-8 ? static_cast<float>(std::sqrt(variance)) : 1.0F);
  }
}

}  // namespace wins::data
