# Run at build time: writes version.cpp, and leaves it alone when nothing has changed.
set(text "${VERSION}")
if(GIT AND EXISTS "${SOURCE}/.git")
  execute_process(COMMAND "${GIT}" describe --always --dirty --match "v*"
    WORKING_DIRECTORY "${SOURCE}" OUTPUT_VARIABLE described ERROR_QUIET
    OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
  if(status EQUAL 0 AND described)
    if(described MATCHES "^v")
      string(SUBSTRING "${described}" 1 -1 text)
    else()
      set(text "${VERSION}+${described}")
    endif()
  endif()
endif()
set(content "#include \"wins/version.hpp\"\n\nnamespace wins {\n\n\
const char* const kVersion = \"${text}\";\n\n}  // namespace wins\n")
if(EXISTS "${OUTPUT}")
  file(READ "${OUTPUT}" old)
endif()
if(NOT "${old}" STREQUAL "${content}")
  file(WRITE "${OUTPUT}" "${content}")
endif()
