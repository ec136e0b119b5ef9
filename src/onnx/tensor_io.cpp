#include "tensor_io.hpp"

#include <bit>
#include <cctype>
#include <cmath>
#include <cstring>
#include <fstream>

#include "wins/base/error.hpp"

namespace wins::onnx {
namespace {

using T = pb::TensorProto;

static_assert(std::endian::native == std::endian::little, "raw_data is little-endian");

float from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000U} << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1FU;
  const std::uint32_t fraction = bits & 0x3FFU;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

/// Bytes of one element in raw_data; 0 for types that the graph does not have.
std::size_t raw_size(int type) {
  switch (type) {
    case T::FLOAT: case T::INT32: return 4;
    case T::DOUBLE: case T::INT64: return 8;
    case T::FLOAT16: case T::BFLOAT16: return 2;
    case T::UINT8: case T::BOOL: return 1;
    default: return 0;
  }
}

std::int64_t typed_count(const pb::TensorProto& proto) {
  switch (proto.data_type()) {
    case T::FLOAT: return proto.float_data_size();
    case T::DOUBLE: return proto.double_data_size();
    case T::INT64: return proto.int64_data_size();
    default: return proto.int32_data_size();
  }
}

template <class From, class To, class Convert>
void fill_raw(const std::string& raw, Tensor& tensor, Convert convert) {
  auto out = tensor.mutable_data<To>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    From value;
    std::memcpy(&value, raw.data() + i * sizeof(From), sizeof(From));
    out[i] = convert(value);
  }
}

void read_raw(const pb::TensorProto& proto, Tensor& tensor) {
  const std::string& raw = proto.raw_data();
  switch (proto.data_type()) {
    case T::FLOAT16: return fill_raw<std::uint16_t, float>(raw, tensor, from_float16);
    case T::BFLOAT16: return fill_raw<std::uint16_t, float>(raw, tensor, from_bfloat16);
    case T::DOUBLE:
      return fill_raw<double, float>(raw, tensor, [](double v) { return static_cast<float>(v); });
    case T::BOOL: return fill_raw<std::uint8_t, bool>(raw, tensor, [](std::uint8_t v) { return v != 0; });
    default:
      if (!raw.empty()) std::memcpy(tensor.mutable_bytes(), raw.data(), raw.size());
  }
}

template <class To, class Field, class Convert>
void fill_typed(const Field& field, Tensor& tensor, Convert convert) {
  auto out = tensor.mutable_data<To>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = convert(field[static_cast<int>(i)]);
}

void read_typed(const pb::TensorProto& proto, Tensor& tensor) {
  const auto half = [](auto convert) {
    return [convert](std::int32_t v) { return convert(static_cast<std::uint16_t>(v)); };
  };
  switch (proto.data_type()) {
    case T::FLOAT: return fill_typed<float>(proto.float_data(), tensor, [](float v) { return v; });
    case T::DOUBLE:
      return fill_typed<float>(proto.double_data(), tensor, [](double v) { return static_cast<float>(v); });
    case T::INT64:
      return fill_typed<std::int64_t>(proto.int64_data(), tensor, [](std::int64_t v) { return v; });
    case T::FLOAT16: return fill_typed<float>(proto.int32_data(), tensor, half(from_float16));
    case T::BFLOAT16: return fill_typed<float>(proto.int32_data(), tensor, half(from_bfloat16));
    case T::UINT8:
      return fill_typed<std::uint8_t>(proto.int32_data(), tensor,
                                      [](std::int32_t v) { return static_cast<std::uint8_t>(v); });
    case T::BOOL: return fill_typed<bool>(proto.int32_data(), tensor, [](std::int32_t v) { return v != 0; });
    default: return fill_typed<std::int32_t>(proto.int32_data(), tensor, [](std::int32_t v) { return v; });
  }
}

void refuse_nan(const Tensor& tensor) {
  if (tensor.dtype() != DType::f32) return;
  const auto values = tensor.data<float>();
  // Counted first, a loop without branches: weights are many, and hardly ever wrong.
  std::uint32_t wrong = 0;
  for (const float value : values) wrong |= std::isnan(value) ? 1U : 0U;
  for (std::size_t i = 0; wrong != 0 && i < values.size(); ++i) {
    require(!std::isnan(values[i]), "element {} is not a number (NaN)", i);
  }
}

wins::Shape extents_of(const pb::TensorProto& proto) {
  wins::Shape shape(proto.dims().begin(), proto.dims().end());
  element_count(shape);  // refuses negative extents and overflow
  return shape;
}

std::uintmax_t parse_number(const std::string& key, const std::string& text) {
  require(!text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string::npos,
          "external data: {} '{}' is not a number", key, text);
  return std::stoull(text);
}

}  // namespace

std::optional<DType> graph_dtype(int onnx_type) {
  switch (onnx_type) {
    case T::FLOAT: case T::FLOAT16: case T::BFLOAT16: case T::DOUBLE: return DType::f32;
    case T::INT64: return DType::i64;
    case T::INT32: return DType::i32;
    case T::UINT8: return DType::u8;
    case T::BOOL: return DType::boolean;
    default: return std::nullopt;
  }
}

int onnx_dtype(DType type) {
  switch (type) {
    case DType::f32: return T::FLOAT;
    case DType::f64: return T::DOUBLE;
    case DType::i64: return T::INT64;
    case DType::i32: return T::INT32;
    case DType::u8: return T::UINT8;
    case DType::boolean: return T::BOOL;
  }
  return T::UNDEFINED;
}

std::string onnx_type_name(int onnx_type) {
  if (!T::DataType_IsValid(onnx_type)) return fmt::format("number {}", onnx_type);
  std::string name = T::DataType_Name(static_cast<T::DataType>(onnx_type));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

Tensor read_tensor(const pb::TensorProto& proto) {
  const auto dtype = graph_dtype(proto.data_type());
  require(dtype.has_value(), "element type {} is not supported", onnx_type_name(proto.data_type()));
  require(proto.data_location() != T::EXTERNAL, "its data lies in another file");
  const wins::Shape shape = extents_of(proto);
  const std::int64_t count = element_count(shape);
  if (proto.has_raw_data()) {
    std::int64_t expected = 0;
    const bool overflow =
        __builtin_mul_overflow(count, static_cast<std::int64_t>(raw_size(proto.data_type())), &expected);
    require(!overflow && expected == static_cast<std::int64_t>(proto.raw_data().size()),
            "extents {} need {} elements of {}, the file holds {} bytes", to_string(shape), count,
            onnx_type_name(proto.data_type()), proto.raw_data().size());
  } else {
    require(typed_count(proto) == count, "extents {} need {} elements, the file holds {}", to_string(shape),
            count, typed_count(proto));
  }
  Tensor tensor(*dtype, shape);
  proto.has_raw_data() ? read_raw(proto, tensor) : read_typed(proto, tensor);
  refuse_nan(tensor);
  return tensor;
}

pb::TensorProto write_tensor_head(const std::string& name, const Tensor& tensor) {
  pb::TensorProto proto;
  proto.set_name(name);
  proto.set_data_type(onnx_dtype(tensor.dtype()));
  for (const std::int64_t extent : tensor.shape()) proto.add_dims(extent);
  return proto;
}

pb::TensorProto write_tensor(const std::string& name, const Tensor& tensor) {
  pb::TensorProto proto = write_tensor_head(name, tensor);
  proto.set_raw_data(tensor.bytes(), tensor.byte_size());
  return proto;
}

ExternalData::ExternalData(std::filesystem::path folder, std::uintmax_t budget)
    : folder_(std::move(folder)), budget_(budget) {}

std::filesystem::path ExternalData::resolve(const std::string& location) const {
  namespace fs = std::filesystem;
  require(!folder_.empty(), "external data '{}': a model in memory cannot have any", location);
  const fs::path relative(location);
  require(!location.empty() && location.find('\0') == std::string::npos, "external data: bad path");
  require(relative.is_relative(), "external data '{}': absolute paths are refused", location);
  for (const fs::path& part : relative) {
    require(part != "..", "external data '{}': '..' is refused", location);
  }
  std::error_code error;
  const fs::path base = fs::canonical(folder_, error);
  require(!error, "external data '{}': cannot resolve the model's folder", location);
  const fs::path target = fs::canonical(base / relative, error);
  require(!error, "external data '{}': {}", location, error.message());
  const fs::path inside = target.lexically_relative(base);
  require(!inside.empty() && *inside.begin() != "..", "external data '{}' leaves the model's folder", location);
  require(fs::is_regular_file(target, error), "external data '{}' is not a file", location);
  return target;
}

void ExternalData::inline_tensor(pb::TensorProto& proto) {
  std::string location;
  std::uintmax_t offset = 0;
  std::optional<std::uintmax_t> length;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = parse_number("offset", entry.value());
    if (entry.key() == "length") length = parse_number("length", entry.value());
  }
  const std::filesystem::path path = resolve(location);
  const std::size_t element = raw_size(proto.data_type());
  require(element != 0, "element type {} is not supported", onnx_type_name(proto.data_type()));
  const auto count = static_cast<std::uintmax_t>(element_count(extents_of(proto)));
  require(count < (std::uintmax_t{1} << 40), "extents are too large");
  const std::uintmax_t bytes = count * element;
  const std::uintmax_t file_bytes = std::filesystem::file_size(path);
  require(!length || *length == bytes, "external data '{}': length {} where the extents need {} bytes", location,
          length.value_or(0), bytes);
  require(offset <= file_bytes && bytes <= file_bytes - offset,
          "external data '{}': bytes {} to {} of a file of {}", location, offset, offset + bytes, file_bytes);
  require(bytes <= budget_, "external data '{}': more than the size limit", location);
  budget_ -= bytes;

  std::ifstream stream(path, std::ios::binary);
  std::string data(bytes, '\0');
  stream.seekg(static_cast<std::streamoff>(offset));
  stream.read(data.data(), static_cast<std::streamsize>(bytes));
  require(stream.good() || bytes == 0, "external data '{}': cannot read it", location);
  proto.set_raw_data(std::move(data));
  proto.clear_external_data();
  proto.clear_data_location();
}

}  // namespace wins::onnx
