// ONNX's messages, and the numbers that both directions agree on.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>

namespace wins::onnx {

/// ONNX's own namespace; `onnx` alone means this room here.
namespace pb = ::onnx;

inline constexpr const char* kWinsDomain = "wins";
inline constexpr const char* kWinogradConv = "WinogradConv";
inline constexpr int kWinsVersion = 1;

inline constexpr std::int64_t kMinOpset = 9;
inline constexpr std::int64_t kMaxOpset = 23;

/// What `save` writes. Opset 20 brings Gelu; IR 10 brings function overloads.
inline constexpr int kExportOpset = 20;
inline constexpr int kExportIr = 10;

}  // namespace wins::onnx
