# Tests: GoogleTest for the rooms, Python's unittest for the command line, an installed tree.

find_package(GTest REQUIRED)
include(GoogleTest)

# wins_test(ROOM room [DEPS room...] [LIBS target...])
#
# Makes test_<room> of tests/<room>/*_test.cpp. The tests run in the source root.
function(wins_test)
  cmake_parse_arguments(PARSE_ARGV 0 test "" "ROOM" "DEPS;LIBS")
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/${test_ROOM}/*_test.cpp")
  if(NOT sources)
    return()
  endif()
  string(REPLACE "/" "_" name "${test_ROOM}")
  wins_room_targets(rooms ${test_ROOM} ${test_DEPS})
  add_executable(test_${name} ${sources})
  target_include_directories(test_${name} PRIVATE
    "${CMAKE_CURRENT_SOURCE_DIR}/tests"
    "${CMAKE_CURRENT_SOURCE_DIR}/tests/${test_ROOM}"
    "${CMAKE_CURRENT_SOURCE_DIR}/src/${test_ROOM}")
  foreach(room IN LISTS rooms)
    if(TARGET ${room})
      target_link_libraries(test_${name} PRIVATE ${room})
    endif()
  endforeach()
  target_link_libraries(test_${name} PRIVATE wins_flags ${test_LIBS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(test_${name} PRIVATE
    "WINS_SOURCE_DIR=\"${CMAKE_CURRENT_SOURCE_DIR}\""
    "WINS_FIXTURES=\"${CMAKE_CURRENT_SOURCE_DIR}/tests/fixtures\""
    "WINS_PYTHON=\"${WINS_PYTHON}\""
    "WINS_BIN=\"${CMAKE_BINARY_DIR}/wins\"")
  set(tsan_options "halt_on_error=1 allocator_may_return_null=1 suppressions=${CMAKE_CURRENT_SOURCE_DIR}/tests/tsan.supp")
  # Two tests run at once, each with its own OpenMP team: waiting threads must not spin.
  # Under the address sanitizer memory that cannot be had must be refused, as it is without.
  gtest_discover_tests(test_${name}
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    TEST_PREFIX "${test_ROOM}:"
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    PROPERTIES TIMEOUT 600 LABELS "${test_ROOM}" ENVIRONMENT "OMP_WAIT_POLICY=passive"
      ENVIRONMENT_MODIFICATION "ASAN_OPTIONS=set:allocator_may_return_null=1"
      ENVIRONMENT_MODIFICATION "TSAN_OPTIONS=set:${tsan_options}")
endfunction()

# wins_python_tests(room) - each file of tests/<room>/*.py that holds a test, run with unittest.
function(wins_python_tests room)
  file(GLOB files CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/tests/${room}/*.py")
  set(environment
    "WINS_SOURCE_DIR=${CMAKE_CURRENT_SOURCE_DIR}"
    "WINS_FIXTURES=${CMAKE_CURRENT_SOURCE_DIR}/tests/fixtures"
    "WINS_TRAINING=${WINS_TRAINING}"
    "WINS_SANITIZE=${WINS_SANITIZE}"
    "PYTHONPATH=${CMAKE_CURRENT_SOURCE_DIR}/tests/${room}"
    "PYTHONDONTWRITEBYTECODE=1"
    "OMP_WAIT_POLICY=passive")
  if(WINS_SANITIZE)
    # A process that was not linked with the sanitizer must load its library first, see LD_PRELOAD.
    execute_process(COMMAND "${CMAKE_CXX_COMPILER}" -print-file-name=libasan.so
      OUTPUT_VARIABLE libasan OUTPUT_STRIP_TRAILING_WHITESPACE)
    list(APPEND environment "WINS_LIBASAN=${libasan}")
  endif()
  foreach(file IN LISTS files)
    file(STRINGS "${file}" tests REGEX "def test" LIMIT_COUNT 1)
    if(NOT tests OR NOT TARGET wins)
      continue()
    endif()
    get_filename_component(name "${file}" NAME_WE)
    add_test(NAME "${room}:${name}"
      COMMAND "${WINS_PYTHON}" -m unittest -v "tests/${room}/${name}.py"
      WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
    set_tests_properties("${room}:${name}" PROPERTIES
      TIMEOUT 1200
      LABELS "${room}"
      ENVIRONMENT "WINS_BIN=$<TARGET_FILE:wins>;WINS_LIB=$<TARGET_FILE:wins_shared>;${environment}")
  endforeach()
endfunction()

# wins_install_test() - installs into the build folder and builds examples/embed from there.
function(wins_install_test)
  set(example "${CMAKE_CURRENT_SOURCE_DIR}/examples/embed")
  if(NOT EXISTS "${example}/CMakeLists.txt" OR NOT TARGET wins)
    return()
  endif()
  add_test(NAME "install:embed"
    COMMAND "${CMAKE_COMMAND}"
      "-DBUILD=${CMAKE_BINARY_DIR}" "-DEXAMPLE=${example}" "-DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}"
      "-DGENERATOR=${CMAKE_GENERATOR}" "-DCOMPILER=${CMAKE_CXX_COMPILER}" "-DSANITIZE=${WINS_SANITIZE}"
      "-DVERSION=${PROJECT_VERSION}" "-DTRAINING=${WINS_TRAINING}" "-DPYTHON=${WINS_PYTHON}"
      -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/InstallTest.cmake"
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
  set_tests_properties("install:embed" PROPERTIES TIMEOUT 600 LABELS install)
endfunction()
