// Weights of one session, packed for its backend: made once and shared by its executables.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "wins/runtime/backend.hpp"

namespace wins::runtime {

class SharedWeights : public WeightCache {
 public:
  /// What `make` gave for this key, now or earlier. The key names the node, the kernel and the format, so one
  /// key always stands for one type.
  template <class T, class Make>
  std::shared_ptr<const T> get(const std::string& key, const Make& make) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const void>& slot = entries_[key];
    if (!slot) slot = std::make_shared<const T>(make());
    return std::static_pointer_cast<const T>(slot);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const void>> entries_;
};

}  // namespace wins::runtime
