# wins/version.hpp (fixed numbers) and version.cpp, which alone is rewritten when the commit changes.

set(WINS_GENERATED "${CMAKE_CURRENT_BINARY_DIR}/generated")
configure_file("${CMAKE_CURRENT_SOURCE_DIR}/cmake/version.hpp.in"
  "${WINS_GENERATED}/include/wins/version.hpp" @ONLY)

find_package(Git QUIET)
add_custom_target(wins_version_source
  COMMAND "${CMAKE_COMMAND}"
    "-DGIT=${GIT_EXECUTABLE}" "-DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}" "-DVERSION=${PROJECT_VERSION}"
    "-DOUTPUT=${WINS_GENERATED}/version.cpp"
    -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/WriteVersion.cmake"
  BYPRODUCTS "${WINS_GENERATED}/version.cpp"
  COMMENT "")

add_library(wins_version STATIC "${WINS_GENERATED}/version.cpp")
add_dependencies(wins_version wins_version_source)
target_include_directories(wins_version PUBLIC "${WINS_GENERATED}/include")
target_link_libraries(wins_version PRIVATE wins_flags)
