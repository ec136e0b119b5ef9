# Third-party libraries: the distribution's, and those of the cached prefix made by scripts/setup.sh.

if(DEFINED ENV{WINS_DEPS})
  set(default_deps "$ENV{WINS_DEPS}")
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(default_deps "$ENV{XDG_CACHE_HOME}/wins")
else()
  set(default_deps "$ENV{HOME}/.cache/wins")
endif()
set(WINS_DEPS "${default_deps}" CACHE PATH "Dependencies installed by scripts/setup.sh")

if(NOT EXISTS "${WINS_DEPS}/onnx/.stamp" OR NOT EXISTS "${WINS_DEPS}/venv/.tools")
  message(FATAL_ERROR "The dependencies are not in ${WINS_DEPS}: run scripts/setup.sh")
endif()
set(WINS_PYTHON "${WINS_DEPS}/venv/bin/python")

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED CONFIG)
find_package(spdlog REQUIRED CONFIG)
find_package(nlohmann_json REQUIRED CONFIG)
find_package(CLI11 REQUIRED CONFIG)
find_package(hwy REQUIRED CONFIG)
find_package(PNG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(LibArchive REQUIRED)
find_package(Protobuf REQUIRED MODULE)
find_package(PkgConfig REQUIRED)
pkg_check_modules(TurboJPEG REQUIRED IMPORTED_TARGET libturbojpeg)

# oneDNN by path: the distribution's package file asks for OpenCL's headers, which nothing here needs.
find_library(WINS_DNNL_LIBRARY dnnl REQUIRED)
find_path(WINS_DNNL_INCLUDE dnnl.hpp REQUIRED)
mark_as_advanced(WINS_DNNL_LIBRARY WINS_DNNL_INCLUDE)
add_library(DNNL::dnnl SHARED IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES
  IMPORTED_LOCATION "${WINS_DNNL_LIBRARY}"
  INTERFACE_INCLUDE_DIRECTORIES "${WINS_DNNL_INCLUDE}")

# OpenBLAS with its LAPACK. By path: other BLAS libraries may be the system's default.
find_library(WINS_OPENBLAS_LIBRARY openblas REQUIRED)
find_path(WINS_OPENBLAS_INCLUDE cblas.h REQUIRED PATH_SUFFIXES openblas-pthread openblas)
mark_as_advanced(WINS_OPENBLAS_LIBRARY WINS_OPENBLAS_INCLUDE)
add_library(OpenBLAS::openblas SHARED IMPORTED)
set_target_properties(OpenBLAS::openblas PROPERTIES
  IMPORTED_LOCATION "${WINS_OPENBLAS_LIBRARY}"
  INTERFACE_INCLUDE_DIRECTORIES "${WINS_OPENBLAS_INCLUDE}")

# The ONNX C++ library: schemas, checker, shape inference, version converter. Static.
add_library(wins_onnx_messages STATIC IMPORTED)
set_target_properties(wins_onnx_messages PROPERTIES
  IMPORTED_LOCATION "${WINS_DEPS}/onnx/lib/libonnx_proto.a"
  INTERFACE_INCLUDE_DIRECTORIES "${WINS_DEPS}/onnx/include"
  INTERFACE_COMPILE_DEFINITIONS "ONNX_ML=1;ONNX_NAMESPACE=onnx"
  INTERFACE_LINK_LIBRARIES "protobuf::libprotobuf")
add_library(wins_onnx_proto STATIC IMPORTED)
set_target_properties(wins_onnx_proto PROPERTIES
  IMPORTED_LOCATION "${WINS_DEPS}/onnx/lib/libonnx.a"
  INTERFACE_LINK_LIBRARIES "wins_onnx_messages")
