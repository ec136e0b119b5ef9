// The part of a backend that follows the two networks, for any tensor type.
#pragma once

#include <optional>

#include "wins/refit/backend.hpp"
#include "wins/refit/frontier.hpp"

namespace wins::refit {

template <class Array>
class FrontierBackend : public Backend {
 public:
  std::size_t position(Side side) const final { return at(side).position(); }
  void advance(Side side, std::size_t node) final { (side == Side::dense ? *dense_ : *pruned_).advance(node); }
  bool has(Side side, const std::string& value) const final { return at(side).has(value); }
  void adopt() final { pruned_->adopt(*dense_); }

 protected:
  const Frontier<Array>& at(Side side) const { return side == Side::dense ? *dense_ : *pruned_; }
  void open(const graph::Graph& dense, const graph::Graph& pruned, const std::vector<Array>& batches,
            const typename Frontier<Array>::Open& open) {
    dense_.emplace(dense, batches, open);
    pruned_.emplace(pruned, batches, open);
  }

 private:
  std::optional<Frontier<Array>> dense_, pruned_;
};

}  // namespace wins::refit
