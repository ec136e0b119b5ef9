// The parts of a run's report. Each returns HTML, or nothing when the record lacks its data.
#pragma once

#include <string>
#include <vector>

#include "record.hpp"

namespace wins::report {

/// One pruned network of a record, or the record itself.
struct PrunedRow {
  const Json* json = nullptr;
  std::string method;
  std::vector<Layer> layers;
};

/// "WINS-AB, PR 84.0 %" with its marker.
std::string row_title(const PrunedRow& row);

std::string command_and_facts(const Json& record);

/// Records of `wins demo`.
std::string demo_report(const Json& record);
/// Records of `wins bench`.
std::string bench_report(const Json& record);
/// Records of `wins prune`, `finetune` and `train`.
std::string prune_report(const Json& record);

// Shared by the kinds of record.
std::string tile(const std::string& caption, const std::string& value, const std::string& detail);
std::string heat_map_section(const std::vector<PrunedRow>& rows, std::size_t open);
std::string decisions_section(const std::vector<PrunedRow>& rows);
std::string training_section(const std::vector<PrunedRow>& rows);
/// Time of each layer. `dense` may be empty.
std::string layer_time_section(const std::vector<Layer>& dense, const std::vector<PrunedRow>& rows,
                               std::size_t open);

}  // namespace wins::report
