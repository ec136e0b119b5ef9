# Rooms: one static library for each folder of src/, and the two products made of them.

set_property(GLOBAL PROPERTY WINS_ROOMS "")

# wins_room_targets(OUT room...) - the library names of rooms: runtime/cpu is wins_runtime_cpu.
function(wins_room_targets out)
  list(TRANSFORM ARGN REPLACE "/" "_")
  list(TRANSFORM ARGN PREPEND "wins_")
  set(${out} "${ARGN}" PARENT_SCOPE)
endfunction()

# wins_room(NAME room [STUB] [DEPS room...] [LIBS target...])
#
# Makes the library wins_<room> of src/<room>/*.cpp (and *.cu where CUDA is enabled), or of src/<room>/stub/*.cpp with STUB. Others see
# src/<room>/include; the room itself and its tests also see src/<room>. A room without sources is an
# interface library, so that others can name it already.
function(wins_room)
  cmake_parse_arguments(PARSE_ARGV 0 room "STUB" "NAME" "DEPS;LIBS")
  if(room_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "wins_room(${room_NAME}): unknown arguments ${room_UNPARSED_ARGUMENTS}")
  endif()
  set(folder "${CMAKE_CURRENT_SOURCE_DIR}/src/${room_NAME}")
  wins_room_targets(target "${room_NAME}")
  wins_room_targets(deps ${room_DEPS})
  if(room_STUB)
    set(pattern "${folder}/stub/*.cpp")
  else()
    set(pattern "${folder}/*.cpp")
    if(CMAKE_CUDA_COMPILER)
      list(APPEND pattern "${folder}/*.cu")
    endif()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${pattern})

  if(sources)
    add_library(${target} STATIC ${sources})
    target_include_directories(${target} PUBLIC "${folder}/include" PRIVATE "${folder}")
    target_link_libraries(${target} PUBLIC ${deps} PRIVATE wins_flags fmt::fmt ${room_LIBS})
    set(scope PUBLIC)
  else()
    message(STATUS "Room ${room_NAME}: no sources yet")
    add_library(${target} INTERFACE)
    target_include_directories(${target} INTERFACE "${folder}/include")
    target_link_libraries(${target} INTERFACE ${deps})
    set(scope INTERFACE)
  endif()
  string(TOUPPER "${target}_SCOPE" scope_name)
  set(${scope_name} ${scope} PARENT_SCOPE)
  set_property(GLOBAL PROPERTY ${target}_LIBS "${room_LIBS}")
endfunction()

# wins_shared_library(ROOMS room...) - libwins.so (target wins_shared) of the whole of these rooms.
function(wins_shared_library)
  cmake_parse_arguments(PARSE_ARGV 0 lib "" "" "ROOMS")
  add_library(wins_shared SHARED $<TARGET_OBJECTS:wins_version>)
  target_link_libraries(wins_shared PRIVATE fmt::fmt)
  wins_room_targets(rooms ${lib_ROOMS})
  foreach(room IN LISTS rooms)
    get_target_property(type ${room} TYPE)
    if(NOT type STREQUAL "INTERFACE_LIBRARY")
      target_sources(wins_shared PRIVATE $<TARGET_OBJECTS:${room}>)
    endif()
    get_property(libs GLOBAL PROPERTY ${room}_LIBS)
    target_link_libraries(wins_shared PRIVATE ${libs})
  endforeach()
  set_target_properties(wins_shared PROPERTIES
    OUTPUT_NAME wins
    EXPORT_NAME wins
    LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR})
  # What comes from static libraries (ONNX) is ours alone: another copy in the process is not disturbed.
  target_link_options(wins_shared PRIVATE -Wl,--exclude-libs,ALL)
  if(NOT WINS_SANITIZE AND NOT WINS_SANITIZE_THREAD AND NOT WINS_FUZZ)
    target_link_options(wins_shared PRIVATE -Wl,--no-undefined)
  endif()
  set_property(GLOBAL PROPERTY WINS_SHARED_ROOMS "${lib_ROOMS}")
endfunction()

# wins_executable(ROOM room DEPS room... LIBS target...) - the command-line tool, build/<preset>/wins.
function(wins_executable)
  cmake_parse_arguments(PARSE_ARGV 0 tool "" "ROOM" "DEPS;LIBS")
  set(folder "${CMAKE_CURRENT_SOURCE_DIR}/src/${tool_ROOM}")
  file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.cpp")
  if(NOT sources)
    message(STATUS "Room ${tool_ROOM}: no sources yet")
    return()
  endif()
  wins_room_targets(deps ${tool_DEPS})
  add_executable(wins ${sources})
  target_include_directories(wins PRIVATE "${folder}" "${folder}/include")
  target_link_libraries(wins PRIVATE ${deps} wins_flags fmt::fmt ${tool_LIBS})
  set_target_properties(wins PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
endfunction()
