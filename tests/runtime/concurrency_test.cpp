// Several sessions at once, and one from several threads: the same bits as alone. Also what the thread sanitizer runs.
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "networks.hpp"
#include "wins/graph/zoo.hpp"
#include "wins/runtime/session.hpp"

namespace wins::runtime {
namespace {

constexpr std::size_t kThreads = 4;
constexpr int kRounds = 3;

graph::Graph pruned_network() {
  graph::ZooOptions options;
  options.classes = 10;
  options.height = options.width = 20;
  graph::Graph graph = graph::zoo("resnet8", options);
  graph::optimize_for_inference(graph);
  prune_randomly(graph, 30);
  return graph;
}

bool equal_bits(const Tensor& a, const Tensor& b) {
  return a.byte_size() == b.byte_size() && std::memcmp(a.bytes(), b.bytes(), a.byte_size()) == 0;
}

SessionOptions two_threads() {
  SessionOptions options;
  options.threads = 2;
  return options;
}

/// Pictures of two batches, and what a session alone makes of them.
struct Expected {
  std::vector<Tensor> inputs{random_normal({1, 3, 20, 20}, 1), random_normal({3, 3, 20, 20}, 2)};
  std::vector<Tensor> outputs;

  explicit Expected(Session session) {
    for (const Tensor& input : inputs) outputs.push_back(session.run({input}).at(0));
  }
  /// How many of a thread's runs differ.
  int wrong(Session& session, std::size_t thread) const {
    int count = 0;
    for (std::size_t round = 0; round < kRounds * inputs.size(); ++round) {
      const std::size_t pick = (thread + round) % inputs.size();
      count += !equal_bits(session.run({inputs[pick]}).at(0), outputs[pick]);
    }
    return count;
  }
};

template <class Body>
std::vector<int> in_threads(const Body& body) {
  std::vector<int> results(kThreads, -1);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) threads.emplace_back([&, t] { results[t] = body(t); });
  for (std::thread& thread : threads) thread.join();
  return results;
}

TEST(Concurrency, SessionsOnSharedWeights) {
  const graph::Graph network = pruned_network();  // its copies share the tensors
  const Expected expected(Session::open(network, two_threads()));
  EXPECT_EQ(in_threads([&](std::size_t t) {
              Session session = Session::open(network, two_threads());
              return expected.wrong(session, t);
            }),
            std::vector<int>(kThreads, 0));
}

TEST(Concurrency, OneSessionFromSeveralThreads) {
  const graph::Graph network = pruned_network();
  const Expected expected(Session::open(network, two_threads()));
  Session session = Session::open(network, two_threads());  // plans and packed weights are made while others run
  EXPECT_EQ(in_threads([&](std::size_t t) { return expected.wrong(session, t); }), std::vector<int>(kThreads, 0));
}

}  // namespace
}  // namespace wins::runtime
