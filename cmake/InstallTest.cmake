# Installs the build into an empty folder, builds examples/embed against it with nothing but
# find_package(wins), and runs it on the committed model. The installed tool trains, where it can.

set(prefix "${BUILD}/install-test/prefix")
set(work "${BUILD}/install-test/embed")
file(REMOVE_RECURSE "${BUILD}/install-test")

function(run)
  string(JOIN " " line ${ARGN})
  message(STATUS "${line}")
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "status ${status} from: ${line}")
  endif()
endfunction()

set(flags)
if(SANITIZE)
  set(flags "-DCMAKE_CXX_FLAGS=-fsanitize=address,undefined -fno-sanitize=vptr")
endif()

run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${prefix}")
run("${CMAKE_COMMAND}" -S "${EXAMPLE}" -B "${work}" -G "${GENERATOR}" -DCMAKE_BUILD_TYPE=Release
  "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_PREFIX_PATH=${prefix}" ${flags})
run("${CMAKE_COMMAND}" --build "${work}")
run("${prefix}/bin/wins" --version)
if(TRAINING)
  run("${CMAKE_COMMAND}" -E env "WINS_BIN=${prefix}/bin/wins" "PYTHONPATH=${SOURCE}/tests/cli"
    PYTHONDONTWRITEBYTECODE=1 "${PYTHON}" -m unittest -k test_without_labels
    "${SOURCE}/tests/cli/test_verbs.py")
endif()

if(EXISTS "${SOURCE}/models/fashion-resnet.onnx")
  run("${work}/embed" "${SOURCE}/models/fashion-resnet.onnx")
endif()
