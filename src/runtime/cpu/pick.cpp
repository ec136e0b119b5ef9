#include "pick.hpp"

#include <algorithm>
#include <numeric>

#include "aligned.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

constexpr std::int64_t kSmall = 8192;       // elements that one thread copies faster than two
constexpr std::int64_t kLongest = 1 << 14;  // entries of joined tables: memory, and pieces for threads
constexpr std::int64_t kShort = 16;         // floats that a loop copies faster than memcpy

std::int64_t extent_of(const Table& table) {
  return static_cast<std::int64_t>(table.size());
}

bool has_fill(const Table& table) {
  return std::find(table.begin(), table.end(), kFill) != table.end();
}

/// Entries start, start + step, ... (of step 0 for one entry).
struct Run {
  std::int64_t count, start, step;
  bool fill() const { return start == kFill; }
};

/// The fewest runs that make the table, from the left.
std::vector<Run> runs_of(const Table& table) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < table.size();) {
    std::size_t end = i + 1;
    const bool fill = table[i] == kFill;
    std::int64_t step = 0;
    if (!fill && end < table.size() && table[end] != kFill) step = table[end] - table[i];
    while (end < table.size() && (table[end] == kFill) == fill &&
           (fill || table[end] - table[end - 1] == step))
      ++end;
    runs.push_back({static_cast<std::int64_t>(end - i), table[i], step});
    i = end;
  }
  return runs;
}

/// Joins axis `i` with the one before it where the source walks through both in equal steps.
bool join(std::vector<Table>& axes, std::size_t i) {
  Table& outer = axes[i - 1];
  Table& inner = axes[i];
  if (extent_of(outer) * extent_of(inner) > kLongest && extent_of(outer) > 1 && extent_of(inner) > 1)
    return false;
  const bool single = outer.size() == 1 || inner.size() == 1;
  const std::vector<Run> a = runs_of(outer), b = runs_of(inner);
  if (!single) {
    if (a.size() != 1 || b.size() != 1 || a[0].fill() || b[0].fill()) return false;
    if (a[0].step != b[0].step * b[0].count) return false;
  }
  Table joined;
  for (const std::int64_t o : outer) {
    for (const std::int64_t in : inner) joined.push_back(o == kFill || in == kFill ? kFill : o + in);
  }
  axes[i] = std::move(joined);
  axes.erase(axes.begin() + static_cast<std::ptrdiff_t>(i) - 1);
  return true;
}

/// Row-major output: a loop over rows of the last axis, in groups that share the outer axes.
class PlainPickStep : public Step {
 public:
  PlainPickStep(std::vector<Table> axes, std::size_t output, float fill, int threads)
      : output_(output), fill_(fill), threads_(threads) {
    while (axes.size() < 2) axes.insert(axes.begin(), Table{0});
    for (std::size_t i = axes.size(); i-- > 1;) {
      if (axes.size() > 2) join(axes, i);
    }
    row_ = std::move(axes.back());
    axes.pop_back();
    rows_ = std::move(axes.back());
    axes.pop_back();
    outer_ = std::move(axes);
    count_ = extent_of(row_);
    total_rows_ = extent_of(rows_);
    for (const Table& table : outer_) total_rows_ *= extent_of(table);
    row_fill_ = has_fill(row_);
    runs_ = runs_of(row_);
    // Tables of many short runs (nearest resampling) are faster entry by entry.
    if (extent_of(row_) < 4 * static_cast<std::int64_t>(runs_.size()) && runs_.size() > 1) runs_.clear();
  }

  void run(const Arguments& arguments) override {
    const auto* x = static_cast<const float*>(arguments.inputs[0]);
    auto* y = static_cast<float*>(arguments.outputs[output_]);
    const std::int64_t parts = std::min<std::int64_t>(total_rows_, std::int64_t{4} * threads_);
    parallel_for(parts, total_rows_ * count_ < kSmall ? 1 : threads_, [&](std::int64_t part, int) {
      run_rows(total_rows_ * part / parts, total_rows_ * (part + 1) / parts, x, y);
    });
  }

 private:
  void run_rows(std::int64_t first, std::int64_t last, const float* x, float* y) const {
    const std::int64_t group = extent_of(rows_);
    for (std::int64_t row = first; row < last;) {
      const std::int64_t begin = row % group, end = std::min(group, begin + last - row);
      std::int64_t rest = row / group, base = 0;
      bool filled = false;
      for (std::size_t i = outer_.size(); i-- > 0; rest /= extent_of(outer_[i])) {
        const std::int64_t entry = outer_[i][static_cast<std::size_t>(rest % extent_of(outer_[i]))];
        filled = filled || entry == kFill;
        base += entry;
      }
      float* to = y + row * count_;
      if (filled) {
        std::fill_n(to, (end - begin) * count_, fill_);
      } else {
        run_group(begin, end, x + base, to);
      }
      row += end - begin;
    }
  }

  /// Rows [begin, end) of the second-last axis.
  void run_group(std::int64_t begin, std::int64_t end, const float* x, float* y) const {
    const bool simple = runs_.size() == 1 && !runs_[0].fill();
    for (std::int64_t r = begin; r < end; ++r, y += count_) {
      const std::int64_t entry = rows_[static_cast<std::size_t>(r)];
      if (entry == kFill) {
        std::fill_n(y, count_, fill_);
      } else if (simple) {
        copy_run(runs_[0], x + entry, y);
      } else if (!runs_.empty()) {
        float* to = y;
        for (const Run& run : runs_) {
          copy_run(run, x + entry, to);
          to += run.count;
        }
      } else {
        copy_entries(x + entry, y);
      }
    }
  }

  void copy_run(const Run& run, const float* x, float* y) const {
    if (run.fill()) {
      std::fill_n(y, run.count, fill_);
    } else if (run.step == 1 && run.count > kShort) {
      std::copy_n(x + run.start, run.count, y);
    } else {
      const float* from = x + run.start;
      for (std::int64_t i = 0; i < run.count; ++i) y[i] = from[i * run.step];
    }
  }

  void copy_entries(const float* x, float* y) const {
    const std::int64_t* entries = row_.data();
    if (!row_fill_) {
      for (std::int64_t i = 0; i < count_; ++i) y[i] = x[entries[i]];
    } else {
      for (std::int64_t i = 0; i < count_; ++i) y[i] = entries[i] == kFill ? fill_ : x[entries[i]];
    }
  }

  std::size_t output_;
  float fill_;
  int threads_;
  std::vector<Table> outer_;
  Table rows_, row_;
  std::vector<Run> runs_;
  std::int64_t count_ = 0, total_rows_ = 1;
  bool row_fill_ = false;
};

/// Blocked output from a blocked source: pixel by pixel a block of channels, as a whole where its
/// lanes stand together in the source, else lane by lane.
class BlockedPickStep : public Step {
 public:
  BlockedPickStep(std::vector<Table> axes, const BlockedTarget& target, float fill, int threads)
      : output_(target.output),
        pitch_(target.pitch),
        block_(target.block),
        threads_(threads),
        fill_(fill),
        images_(std::move(axes[0])),
        channels_(std::move(axes[1])),
        rows_(std::move(axes[2])),
        pixels_(std::move(axes[3])),
        runs_(runs_of(pixels_)) {
    used_ = extent_of(channels_);
    blocks_ = divide_up(used_, block_);
    for (std::int64_t q = 0; q < blocks_; ++q) whole_.push_back(is_whole(q));
  }

  void run(const Arguments& arguments) override {
    if (block_ == 16) {
      run_blocks<16>(arguments);
    } else {
      run_blocks<8>(arguments);
    }
  }

 private:
  std::int64_t lanes(std::int64_t q) const { return std::min<std::int64_t>(block_, used_ - q * block_); }

  /// The lanes of output block `q` are those of one source block, from its first.
  bool is_whole(std::int64_t q) const {
    const std::int64_t first = channels_[static_cast<std::size_t>(q * block_)];
    if (first == kFill || first % block_ != 0) return false;
    for (std::int64_t lane = 1; lane < lanes(q); ++lane) {
      if (channels_[static_cast<std::size_t>(q * block_ + lane)] != first + lane) return false;
    }
    return true;
  }

  template <int kBlock>
  void run_blocks(const Arguments& arguments) const {
    const auto* x = static_cast<const float*>(arguments.inputs[0]);
    auto* y = static_cast<float*>(arguments.outputs[output_]);
    const std::int64_t height = extent_of(rows_), row_floats = extent_of(pixels_) * kBlock;
    const std::int64_t rows = extent_of(images_) * blocks_ * height;
    parallel_for(rows, rows * row_floats < kSmall ? 1 : threads_, [&](std::int64_t index, int) {
      const std::int64_t n = index / height / blocks_, q = index / height % blocks_;
      const std::int64_t image = images_[static_cast<std::size_t>(n)],
                         row = rows_[static_cast<std::size_t>(index % height)];
      float* to = y + n * pitch_ + (index - n * blocks_ * height) * row_floats;
      if (image == kFill || row == kFill) {
        fill_pixels<kBlock>(extent_of(pixels_), to);
      } else if (whole_[static_cast<std::size_t>(q)]) {
        copy_blocks<kBlock>(x + image + row + channels_[static_cast<std::size_t>(q * kBlock)], to);
      } else {
        copy_lanes<kBlock>(x + image + row, q, to);
      }
      if (lanes(q) < kBlock) clear_padding<kBlock>(lanes(q), to);
    });
  }

  template <int kBlock>
  void fill_pixels(std::int64_t count, float* y) const {
    std::fill_n(y, count * kBlock, fill_);
  }

  template <int kBlock>
  void copy_blocks(const float* x, float* y) const {
    for (const Run& run : runs_) {
      if (run.fill()) {
        fill_pixels<kBlock>(run.count, y);
      } else if (run.step == kBlock) {
        std::copy_n(x + run.start, run.count * kBlock, y);
      } else {
        for (std::int64_t i = 0; i < run.count; ++i) {
          std::copy_n(x + run.start + i * run.step, kBlock, y + i * kBlock);
        }
      }
      y += run.count * kBlock;
    }
  }

  template <int kBlock>
  void copy_lanes(const float* x, std::int64_t q, float* y) const {
    const std::int64_t* channels = channels_.data() + q * kBlock;
    const std::int64_t used = lanes(q);
    for (const std::int64_t pixel : pixels_) {
      for (std::int64_t lane = 0; lane < used; ++lane) {
        y[lane] = pixel == kFill || channels[lane] == kFill ? fill_ : x[pixel + channels[lane]];
      }
      y += kBlock;
    }
  }

  /// Lanes past the last channel are zero, whatever was copied there.
  template <int kBlock>
  void clear_padding(std::int64_t used, float* y) const {
    for (std::int64_t i = 0; i < extent_of(pixels_); ++i, y += kBlock) std::fill(y + used, y + kBlock, 0.0F);
  }

  std::size_t output_;
  std::int64_t pitch_;  // between images of the output
  int block_, threads_;
  float fill_;
  Table images_, channels_, rows_, pixels_;
  std::vector<Run> runs_;  // of pixels_
  std::int64_t used_ = 0, blocks_ = 0;
  std::vector<bool> whole_;  // by output block
};

}  // namespace

std::vector<Table> whole_axes(const Shape& shape) {
  std::vector<Table> tables;
  for (const std::int64_t extent : shape) {
    tables.emplace_back(static_cast<std::size_t>(extent));
    std::iota(tables.back().begin(), tables.back().end(), std::int64_t{0});
  }
  return tables;
}

std::vector<Table> plain_offsets(std::vector<Table> indices, const Shape& source) {
  std::int64_t pitch = 1;
  for (std::size_t i = source.size(); i-- > 0; pitch *= source[i]) {
    for (std::int64_t& entry : indices[i]) entry = entry == kFill ? kFill : entry * pitch;
  }
  return indices;
}

std::vector<Table> blocked_offsets(std::vector<Table> indices, const Shape& source, int block, std::int64_t pitch) {
  const std::int64_t plane = source[2] * source[3] * block;
  const std::int64_t pitches[] = {pitch, plane, source[3] * block, block};
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::int64_t& entry : indices[i]) {
      if (entry == kFill) continue;
      entry = i == 1 ? entry / block * plane + entry % block : entry * pitches[i];
    }
  }
  return indices;
}

std::unique_ptr<Step> plain_pick_step(std::vector<Table> offsets, std::size_t output, float fill,
                                      int threads) {
  return std::make_unique<PlainPickStep>(std::move(offsets), output, fill, threads);
}

std::unique_ptr<Step> blocked_pick_step(std::vector<Table> offsets, const BlockedTarget& target, float fill,
                                        int threads) {
  return std::make_unique<BlockedPickStep>(std::move(offsets), target, fill, threads);
}

}  // namespace wins::runtime::cpu
