# The per-layer benchmark, build/<preset>/bench_layers, and what it shares with the tests of the CPU engine.

set(folder "${CMAKE_CURRENT_SOURCE_DIR}/bench/layers")
add_library(wins_layers STATIC "${folder}/layer_case.cpp" "${folder}/contender.cpp")
# It lists kernels, so it sees the engine's private headers, as the tests do.
target_include_directories(wins_layers PUBLIC "${folder}" PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src/runtime/cpu")
target_link_libraries(wins_layers PUBLIC wins_runtime_cpu PRIVATE wins_flags fmt::fmt)

add_executable(bench_layers "${folder}/main.cpp" "${folder}/timing.cpp")
target_include_directories(bench_layers PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src/runtime/cpu")
target_link_libraries(bench_layers PRIVATE wins_layers wins_flags fmt::fmt CLI11::CLI11 nlohmann_json::nlohmann_json)
set_target_properties(bench_layers PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")

if(WINS_CUDA)
  add_executable(bench_layers_cuda "${folder}/cuda.cpp")
  target_include_directories(bench_layers_cuda PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src/runtime/cuda")
  target_link_libraries(bench_layers_cuda PRIVATE wins_layers wins_runtime_cuda wins_flags fmt::fmt CLI11::CLI11)
  set_target_properties(bench_layers_cuda PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
endif()
