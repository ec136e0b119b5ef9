# The training room as a shared module, opened by the tool when it trains. Tests link the room itself.

include(GNUInstallDirs)

wins_room(NAME training/loader DEPS graph pruning refit data LIBS ${CMAKE_DL_LIBS})
target_include_directories(wins_training_loader PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/src/training/include")

# It has copies of the rooms that it uses, which --exclude-libs keeps to itself: the tool exports nothing either.
add_library(wins_training_module MODULE src/training/module/module.cpp)
target_link_libraries(wins_training_module PRIVATE wins_training wins_flags)
target_link_options(wins_training_module PRIVATE -Wl,--exclude-libs,ALL)
if(NOT WINS_SANITIZE AND NOT WINS_FUZZ)
  target_link_options(wins_training_module PRIVATE -Wl,--no-undefined)
endif()
set_target_properties(wins_training_module PROPERTIES
  OUTPUT_NAME wins_training
  LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")

set(module_folder "${CMAKE_INSTALL_LIBDIR}/wins")
file(RELATIVE_PATH module_from_tool "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}/wins")
target_compile_definitions(wins_training_loader PRIVATE
  "WINS_TRAINING_FILE=\"libwins_training.so\""
  "WINS_TRAINING_INSTALLED=\"${module_from_tool}\"")
# The module finds libtorch where setup.sh put it.
set_target_properties(wins_training_module PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS wins_training_module LIBRARY DESTINATION "${module_folder}")
