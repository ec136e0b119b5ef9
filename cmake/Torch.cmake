# libtorch without find_package(Torch), which would ask for a CUDA toolkit: the headers and the two CPU
# libraries of the Python package, by path. CUDA support is opened at run time when it is there.

file(GLOB torch_root "${WINS_DEPS}/venv/lib/python3*/site-packages/torch")
if(NOT EXISTS "${WINS_DEPS}/venv/.torch" OR NOT torch_root)
  message(FATAL_ERROR "libtorch is not in ${WINS_DEPS}: run scripts/setup.sh, "
    "or configure with -DWINS_TRAINING=OFF")
endif()
get_filename_component(torch_site "${torch_root}" DIRECTORY)

# Flags rather than paths: the folder also holds a libgomp.so.1, and CMake, which would order search
# paths by what it finds in the folders of libraries, warns that it cannot.
add_library(wins_torch INTERFACE)
target_include_directories(wins_torch SYSTEM INTERFACE
  "${torch_root}/include" "${torch_root}/include/torch/csrc/api/include")
# The package's headers hold a newer fmt than the distribution's library; it is used header-only.
target_compile_definitions(wins_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1 FMT_HEADER_ONLY=1)
target_link_libraries(wins_torch INTERFACE -ltorch_cpu -lc10)
target_link_options(wins_torch INTERFACE
  "-L${torch_root}/lib" "-Wl,-rpath,${torch_root}/lib" "-Wl,-rpath-link,${torch_site}/nvidia/cu13/lib")
