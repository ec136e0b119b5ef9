# The CUDA language and libraries of the CUDA backend.
#
# CUDA 13 or later from NVIDIA; cuDNN 9 beside it, or where pip installed it (CUDNN_ROOT, or -DCMAKE_PREFIX_PATH).

if(NOT CMAKE_CUDA_ARCHITECTURES)
  # sm_90a is a target of its own: its tensor core instructions exist nowhere else.
  set(CMAKE_CUDA_ARCHITECTURES "80-real;86-real;89-real;90a-real;100-real" CACHE STRING "GPU targets")
endif()
enable_language(CUDA)
# CMake 3.25 does not know that this nvcc has C++20.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_EXTENSIONS OFF)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR "WINS_CUDA=ON needs CUDA 13 or later, this is ${CMAKE_CUDA_COMPILER_VERSION} (${CMAKE_CUDA_COMPILER})")
endif()
find_package(CUDAToolkit 13 REQUIRED)

find_path(WINS_CUDNN_INCLUDE cudnn.h HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
find_library(WINS_CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT ${CUDAToolkit_LIBRARY_DIR}
  PATH_SUFFIXES lib lib64)
if(NOT WINS_CUDNN_INCLUDE OR NOT WINS_CUDNN_LIBRARY)
  message(FATAL_ERROR "WINS_CUDA=ON needs cuDNN 9: set CUDNN_ROOT to the folder with include/cudnn.h and lib/libcudnn.so.9")
endif()
add_library(wins_cudnn INTERFACE)
target_include_directories(wins_cudnn SYSTEM INTERFACE "${WINS_CUDNN_INCLUDE}")
target_link_libraries(wins_cudnn INTERFACE "${WINS_CUDNN_LIBRARY}")
