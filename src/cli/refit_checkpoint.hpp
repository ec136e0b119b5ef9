// A refit that was interrupted goes on from the last finished layer.
#pragma once

#include <optional>
#include <string>

#include "wins/refit/refit.hpp"

namespace wins::cli {

/// A file with the network as far as it is refitted, for one job: the same networks, pictures and options.
class RefitCheckpoint {
 public:
  /// Empty path: nothing is saved. What an earlier run of the same job has saved at `path` is taken up; a file of
  /// another job is an `Error`.
  RefitCheckpoint(std::string path, const graph::Graph& pruned, const graph::Graph& dense,
                  const std::vector<Tensor>& pictures, const refit::RefitOptions& options);

  /// Makes `options` save after each layer and go on from what is known. This must outlive the refit.
  void attach(refit::RefitOptions& options) const;
  /// Layers of an earlier run.
  std::size_t layers_done() const { return known_ ? known_->layers.size() : 0; }
  /// The refit is complete: the file goes.
  void remove() const;

 private:
  std::string path_;
  std::string key_;
  std::optional<refit::RefitResult> known_;
};

}  // namespace wins::cli
