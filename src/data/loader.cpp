#include "wins/data/loader.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <thread>

#include "augment.hpp"
#include "wins/base/error.hpp"

namespace wins::data {
namespace {

/// Warns about a picture once per process: a data set is read again every epoch.
void warn_once(const std::string& message) {
  static std::mutex mutex;
  static std::set<std::string> seen;
  const std::lock_guard lock(mutex);
  if (!seen.insert(message).second) return;
  static const auto logger = [] {
    auto existing = spdlog::get("wins");
    return existing != nullptr ? existing : spdlog::stderr_color_mt("wins");
  }();
  logger->warn("broken picture: {}", message);
}

/// A batch that is being filled. Its storage does not move: threads write into it.
struct Slot {
  Batch batch;
  float* images = nullptr;
  std::vector<std::uint8_t> good;
  std::size_t begin = 0;      ///< place of the first sample in the order
  std::int64_t started = 0;   ///< samples handed out to threads
  std::int64_t finished = 0;  ///< samples done, good or broken
  std::exception_ptr error;
  std::int64_t size() const { return static_cast<std::int64_t>(good.size()); }
};

}  // namespace

struct Loader::State {
  State(const Dataset& set, const Preprocess& prepare, const LoaderOptions& wanted)
      : dataset(set), preprocess(prepare), options(wanted), order(set.size()), known_broken(set.size(), 0) {
    check(preprocess);
    check(options.augment);
    require(dataset.size() > 0, "the data set has no pictures");
    require(options.batch_size >= 1, "batch size {}: expected at least 1", options.batch_size);
    require(options.first_batch >= 0, "first batch {}: expected at least 0", options.first_batch);
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (options.shuffle) {
      Random random{options.seed, static_cast<std::uint64_t>(options.epoch)};
      random.shuffle(order);
    }
    const auto all = static_cast<std::int64_t>(dataset.size());
    options.batch_size = std::min(options.batch_size, all);
    count =
        options.drop_last ? all / options.batch_size : (all + options.batch_size - 1) / options.batch_size;
    next_to_open = next_to_deliver = options.first_batch;
    options.threads = std::clamp(options.threads, 1, 256);
    depth = static_cast<std::size_t>(options.threads / options.batch_size + 2);
  }

  /// Apart from the constructor, so that the destructor joins what had started when one thread fails to.
  void start() {
    for (int t = 0; t < options.threads; ++t) threads.emplace_back([this] { work(); });
  }

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work_ready.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  void work();
  Slot* claim(std::unique_lock<std::mutex>& lock, std::int64_t& sample);
  void open_slot();
  void fill(Slot& slot, std::int64_t sample);
  bool all_broken();
  bool try_load(std::size_t index, float* out);
  void mark_broken(std::size_t index, const std::string& message);
  std::unique_ptr<Slot> take();

  const Dataset& dataset;
  const Preprocess preprocess;
  LoaderOptions options;
  std::vector<std::size_t> order;
  std::int64_t count = 0;  ///< batches
  std::size_t depth = 2;   ///< batches in memory at most

  std::mutex mutex;
  std::condition_variable work_ready, batch_ready;
  std::deque<std::unique_ptr<Slot>> slots;  ///< front: next to deliver
  std::int64_t next_to_open = 0, next_to_deliver = 0;
  std::vector<std::uint8_t> known_broken;
  std::int64_t broken_count = 0;
  std::int64_t delivered = 0;  ///< pictures
  std::string first_broken;
  bool stopping = false;
  std::vector<std::thread> threads;
};

/// Called with the lock held.
void Loader::State::open_slot() {
  const std::int64_t batch = next_to_open++;
  const auto all = static_cast<std::int64_t>(order.size());
  const std::int64_t begin = batch * options.batch_size;
  const std::int64_t size = std::min(options.batch_size, all - begin);
  auto slot = std::make_unique<Slot>();
  slot->good.assign(static_cast<std::size_t>(size), 0);
  slot->begin = static_cast<std::size_t>(begin);
  try {
    slot->batch.images = Tensor(DType::f32, {size, preprocess.channels, preprocess.height, preprocess.width});
    slot->images = slot->batch.images.mutable_data<float>().data();
  } catch (...) {
    slot->error = std::current_exception();
    slot->started = slot->finished = size;
  }
  slot->batch.labels.assign(static_cast<std::size_t>(size), kNoLabel);
  slot->batch.indices.assign(order.begin() + begin, order.begin() + begin + size);
  slots.push_back(std::move(slot));
  batch_ready.notify_all();
}

/// The next sample to decode, or nullptr when the loader ends. Called with the lock held.
Slot* Loader::State::claim(std::unique_lock<std::mutex>& lock, std::int64_t& sample) {
  for (;;) {
    if (stopping) return nullptr;
    for (const auto& slot : slots) {
      if (slot->started == slot->size()) continue;
      sample = slot->started++;
      return slot.get();
    }
    if (next_to_open >= count) return nullptr;
    if (slots.size() < depth) {
      open_slot();
    } else {
      work_ready.wait(lock);
    }
  }
}

void Loader::State::work() {
  std::unique_lock lock(mutex);
  std::int64_t sample = 0;
  while (Slot* slot = claim(lock, sample)) {
    lock.unlock();
    std::exception_ptr error;
    try {
      fill(*slot, sample);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error != nullptr && slot->error == nullptr) slot->error = error;
    if (++slot->finished == slot->size()) batch_ready.notify_all();
  }
}

void Loader::State::mark_broken(std::size_t index, const std::string& message) {
  {
    const std::lock_guard lock(mutex);
    if (known_broken[index] != 0) return;
    known_broken[index] = 1;
    ++broken_count;
    if (first_broken.empty()) first_broken = message;
  }
  warn_once(message);
}

bool Loader::State::all_broken() {
  const std::lock_guard lock(mutex);
  return broken_count == static_cast<std::int64_t>(order.size());
}

bool Loader::State::try_load(std::size_t index, float* out) {
  {
    const std::lock_guard lock(mutex);
    if (known_broken[index] != 0) return false;
  }
  try {
    Random random{options.seed, static_cast<std::uint64_t>(options.epoch), index, 1};
    normalize(preprocess, fit_randomly(preprocess, options.augment, dataset.load(index), random), out);
    return true;
  } catch (const Error& error) {
    mark_broken(index, error.what());
    return false;
  }
}

/// Sample `sample` of a batch; in training the first good picture from its place in the order on.
void Loader::State::fill(Slot& slot, std::int64_t sample) {
  const auto at = static_cast<std::size_t>(sample);
  const std::int64_t size = preprocess.channels * preprocess.height * preprocess.width;
  const std::size_t attempts = options.shuffle ? order.size() : 1;
  for (std::size_t step = 0; step < attempts && !all_broken(); ++step) {
    const std::size_t index = order[(slot.begin + at + step) % order.size()];
    if (!try_load(index, slot.images + sample * size)) continue;
    slot.batch.indices[at] = index;
    slot.batch.labels[at] = dataset.label(index);
    slot.good[at] = 1;
    return;
  }
}

/// The next batch once it is complete; nullptr at the end.
std::unique_ptr<Slot> Loader::State::take() {
  std::unique_lock lock(mutex);
  if (next_to_deliver >= count) return nullptr;
  batch_ready.wait(lock, [&] { return !slots.empty() && slots.front()->finished == slots.front()->size(); });
  auto slot = std::move(slots.front());
  slots.pop_front();
  ++next_to_deliver;
  work_ready.notify_all();
  return slot;
}

namespace {

/// Closes the gaps that broken pictures left.
void compact(Slot& slot) {
  const std::int64_t good = std::count(slot.good.begin(), slot.good.end(), 1);
  if (good == slot.size()) return;
  Shape shape = slot.batch.images.shape();
  shape[0] = good;
  Tensor images(DType::f32, shape);
  const std::int64_t size = good == 0 ? 0 : images.size() / good;
  float* out = images.mutable_data<float>().data();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < slot.good.size(); ++i) {
    if (slot.good[i] == 0) continue;
    out = std::copy_n(slot.images + static_cast<std::int64_t>(i) * size, size, out);
    slot.batch.labels[kept] = slot.batch.labels[i];
    slot.batch.indices[kept++] = slot.batch.indices[i];
  }
  slot.batch.images = std::move(images);
  slot.batch.labels.resize(kept);
  slot.batch.indices.resize(kept);
}

}  // namespace

Loader::Loader(const Dataset& dataset, const Preprocess& preprocess, const LoaderOptions& options)
    : state_(std::make_unique<State>(dataset, preprocess, options)) {
  state_->start();
}

Loader::~Loader() = default;

std::int64_t Loader::batches() const {
  return state_->count;
}

bool Loader::next(Batch& batch) {
  while (auto slot = state_->take()) {
    if (slot->error != nullptr) std::rethrow_exception(slot->error);
    compact(*slot);
    if (slot->batch.indices.empty()) continue;
    state_->delivered += static_cast<std::int64_t>(slot->batch.indices.size());
    batch = std::move(slot->batch);
    return true;
  }
  const std::int64_t bad = broken();
  require(bad == 0 || state_->delivered > 0, "every picture is broken ({}), the first: {}", bad,
          state_->first_broken);
  return false;
}

std::int64_t Loader::broken() const {
  const std::lock_guard lock(state_->mutex);
  return state_->broken_count;
}

}  // namespace wins::data
