// Packed weights of one session, and what tuning decided.
#pragma once

#include "wins/runtime/decisions.hpp"
#include "wins/runtime/shared_weights.hpp"

namespace wins::runtime {

class WeightStore : public SharedWeights {
 public:
  /// What tuning decided for this session.
  Decisions& decisions() { return decisions_; }

 private:
  Decisions decisions_;
};

}  // namespace wins::runtime
