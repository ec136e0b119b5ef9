// A convolution problem as text, made into a network of one node with random data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/runtime/problem.hpp"

namespace wins::layers {

/// One node named "conv", specialised, and what goes into it.
struct Layer {
  graph::Graph graph;
  std::vector<Tensor> inputs;
};

/// The network alone.
graph::Graph make_graph(const runtime::ConvProblem& problem);

/// A Conv, or a WinogradConv where the problem has a tile; kept units are drawn at random to the counts given.
/// Outputs have about unit variance before pruning. Equal problems give equal data.
Layer make_layer(const runtime::ConvProblem& problem);

/// The same shape and epilogue as an ordinary dense convolution.
runtime::ConvProblem dense_problem(const runtime::ConvProblem& problem);

/// Multiplications of `kernel` (its name in a plan) on this layer, without those that only fill vector lanes.
double multiplications(const Layer& layer, const std::string& kernel);

/// The problem in a line of text: its first word that reads mb1ic..., so that a plan's line does. Empty for
/// blank lines and comments (#).
std::string problem_in_line(const std::string& line);

/// Problems of a file, one a line. Throws `Error` naming the line.
std::vector<runtime::ConvProblem> read_problems(const std::string& file);

}  // namespace wins::layers
