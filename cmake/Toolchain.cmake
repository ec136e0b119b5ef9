# Language level, build type, compiler cache, and the flags that all rooms share.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(WINS_CCACHE ccache)
mark_as_advanced(WINS_CCACHE)
if(WINS_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the checkout are hashed as relative ones, so that all checkouts and build folders share.
  set(ccache_launcher "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1
    "${WINS_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${ccache_launcher}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${ccache_launcher}")
endif()

# No -march: kernels choose their instruction set at run time, so one binary runs everywhere.
add_compile_options(-fno-omit-frame-pointer)

if(WINS_SANITIZE OR WINS_FUZZ)
  # vptr checks need run-time type information of third-party libraries, which not all of them keep.
  set(sanitizers -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all)
  add_compile_options(${sanitizers})
  add_link_options(${sanitizers})
endif()

if(WINS_SANITIZE_THREAD)
  if(WINS_SANITIZE OR WINS_FUZZ)
    message(FATAL_ERROR "WINS_SANITIZE_THREAD=ON does not go with the address sanitizer")
  endif()
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # src/base/parallel.cpp tells it what OpenMP orders by what GCC makes of a parallel region.
    message(FATAL_ERROR "WINS_SANITIZE_THREAD=ON needs GCC, this is ${CMAKE_CXX_COMPILER_ID}")
  endif()
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
endif()

if(WINS_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "WINS_FUZZ=ON needs clang (CMAKE_CXX_COMPILER=clang++), "
      "this is ${CMAKE_CXX_COMPILER_ID}")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

add_library(wins_flags INTERFACE)
target_compile_options(wins_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlapping copies in std::string's assignment that are not there (GCC bug 105651).
  target_compile_options(wins_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(WINS_WERROR)
  target_compile_options(wins_flags INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Werror>)
endif()
