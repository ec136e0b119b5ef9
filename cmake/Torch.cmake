# libtorch without find_package(Torch), which would ask for a CUDA toolkit: the headers and the two CPU
# libraries of the Python package, by path. CUDA support is opened at run time when it is there.

file(GLOB torch_root "${WINS_DEPS}/venv/lib/python3*/site-packages/torch")
if(NOT EXISTS "${WINS_DEPS}/venv/.torch" OR NOT torch_root)
  message(FATAL_ERROR "libtorch is not in ${WINS_DEPS}: run scripts/setup.sh, "
    "or configure with -DWINS_TRAINING=OFF")
endif()
# The environment is a link to a folder with a version in its name; the link stays, so keep it.
get_filename_component(torch_site "${torch_root}" DIRECTORY)

add_library(wins_c10 SHARED IMPORTED)
set_target_properties(wins_c10 PROPERTIES IMPORTED_LOCATION "${torch_root}/lib/libc10.so")

add_library(wins_torch SHARED IMPORTED)
set_target_properties(wins_torch PROPERTIES
  IMPORTED_LOCATION "${torch_root}/lib/libtorch_cpu.so"
  INTERFACE_INCLUDE_DIRECTORIES "${torch_root}/include;${torch_root}/include/torch/csrc/api/include"
  INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=1"
  INTERFACE_LINK_LIBRARIES "wins_c10"
  INTERFACE_LINK_OPTIONS "-Wl,-rpath-link,${torch_site}/nvidia/cu13/lib")
