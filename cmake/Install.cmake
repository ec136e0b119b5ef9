# cmake --install: the tool, libwins.so, the headers, and winsConfig.cmake for find_package(wins).

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(rooms GLOBAL PROPERTY WINS_SHARED_ROOMS)
foreach(room IN LISTS rooms)
  if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/src/${room}/include")
    install(DIRECTORY "src/${room}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
      FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
  endif()
endforeach()
install(FILES "${WINS_GENERATED}/include/wins/version.hpp"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/wins")

install(TARGETS wins_shared EXPORT winsTargets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
target_compile_features(wins_shared INTERFACE cxx_std_20)
if(TARGET wins)
  install(TARGETS wins RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

set(package "${CMAKE_INSTALL_LIBDIR}/cmake/wins")
install(EXPORT winsTargets NAMESPACE wins:: DESTINATION "${package}")
configure_package_config_file("${CMAKE_CURRENT_SOURCE_DIR}/cmake/winsConfig.cmake.in"
  "${CMAKE_CURRENT_BINARY_DIR}/winsConfig.cmake" INSTALL_DESTINATION "${package}")
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/winsConfigVersion.cmake"
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/winsConfig.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/winsConfigVersion.cmake" DESTINATION "${package}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
