# tidegate_module(NAME LAYER n SRCS … [DEPS modules…] [LIBS third-party…]
#                 [TESTS files…] [THREAD_TESTS files…] [TEST_DEPS modules…] [SERVER_TEST_DEPS modules…]
#                 [TEST_LIBS …])
#
# One static library `tidegate_NAME` (INTERFACE when it has no sources), with includes absolute from
# src/. DEPS are modules: each must lie on a strictly lower layer, or on the same layer inside the
# same tower (plan and worker share one; a cycle is refused by CMake itself), or be protocol, where
# the towers meet. What implements an interface (layer 3) is linked by src/app alone, but for launch:
# the interface that worker calls, launcher.h, is kept there beside what implements it. TESTS become one
# executable `NAME_test` in the sanitizer builds; THREAD_TESTS become `NAME_threads_test`, which the
# TSan build also runs. TESTS named *_pgtest.cc, *_mongotest.cc and *_mysqltest.cc need a server: they
# become `NAME_pgtest`, `NAME_mongotest` and `NAME_mysqltest`, run beneath tools/with_postgres,
# tools/with_mongo and tools/with_mysql, which start one for them. SERVER_TEST_DEPS are of those alone: a contract suite is linked where it is used.
set_property(GLOBAL PROPERTY TIDEGATE_MODULES "")

function(tidegate_tower dir out)
  file(RELATIVE_PATH rel ${CMAKE_SOURCE_DIR} ${dir})
  if(rel MATCHES "^src/(control|engine)")
    set(${out} ${CMAKE_MATCH_1} PARENT_SCOPE)
  else()
    set(${out} "" PARENT_SCOPE)
  endif()
endfunction()

function(tidegate_module name)
  cmake_parse_arguments(M "" "LAYER" "SRCS;DEPS;LIBS;TESTS;THREAD_TESTS;TEST_DEPS;SERVER_TEST_DEPS;TEST_LIBS" ${ARGN})
  if(NOT DEFINED M_LAYER)
    message(FATAL_ERROR "tidegate_module(${name}): LAYER is missing")
  endif()
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tidegate_module(${name}): unknown arguments: ${M_UNPARSED_ARGUMENTS}")
  endif()
  tidegate_tower(${CMAKE_CURRENT_SOURCE_DIR} tower)
  set_property(GLOBAL APPEND PROPERTY TIDEGATE_MODULES ${name})
  set_property(GLOBAL PROPERTY TIDEGATE_LAYER_${name} ${M_LAYER})
  set_property(GLOBAL PROPERTY TIDEGATE_TOWER_${name} "${tower}")
  set_property(GLOBAL PROPERTY TIDEGATE_DEPS_${name} "${M_DEPS}")
  set_property(GLOBAL PROPERTY TIDEGATE_DIR_${name} "${CMAKE_CURRENT_SOURCE_DIR}")
  # A suite that registers its cases is linked whole, so as a library of the test.
  string(REGEX MATCHALL "tidegate_[a-z_]+" whole "${M_TEST_LIBS}")
  list(TRANSFORM whole REPLACE "^tidegate_" "")
  set_property(GLOBAL PROPERTY TIDEGATE_TEST_DEPS_${name} "${M_TEST_DEPS};${M_SERVER_TEST_DEPS};${whole}")
  set_property(GLOBAL PROPERTY TIDEGATE_FILES_${name} "${M_SRCS};${M_TESTS};${M_THREAD_TESTS}")

  list(TRANSFORM M_DEPS PREPEND tidegate_ OUTPUT_VARIABLE dep_targets)
  if(M_SRCS)
    add_library(tidegate_${name} STATIC ${M_SRCS})
    set(scope PUBLIC)
  else()
    add_library(tidegate_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(tidegate_${name} ${scope} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(tidegate_${name} ${scope} ${dep_targets} ${M_LIBS})

  if(TIDEGATE_TESTS)
    foreach(server pg mongo mysql)
      set(${server}_tests ${M_TESTS})
      list(FILTER ${server}_tests INCLUDE REGEX "_${server}test\\.cc$")
      list(FILTER M_TESTS EXCLUDE REGEX "_${server}test\\.cc$")
    endforeach()
    tidegate_test_executable(${name}_test unit "${M_TESTS}" "${name};${M_TEST_DEPS}" "${M_TEST_LIBS}")
    tidegate_test_executable(${name}_pgtest unit "${pg_tests}" "${name};${M_TEST_DEPS};${M_SERVER_TEST_DEPS}"
                             "${M_TEST_LIBS}" ${CMAKE_SOURCE_DIR}/tools/with_postgres)
    tidegate_test_executable(${name}_mongotest unit "${mongo_tests}" "${name};${M_TEST_DEPS};${M_SERVER_TEST_DEPS}"
                             "${M_TEST_LIBS}" ${CMAKE_SOURCE_DIR}/tools/with_mongo)
    tidegate_test_executable(${name}_mysqltest unit "${mysql_tests}" "${name};${M_TEST_DEPS};${M_SERVER_TEST_DEPS}"
                             "${M_TEST_LIBS}" ${CMAKE_SOURCE_DIR}/tools/with_mysql)
    tidegate_test_executable(${name}_threads_test threads "${M_THREAD_TESTS}"
                             "${name};${M_TEST_DEPS}" "${M_TEST_LIBS}")
  endif()
endfunction()

# The TSan build holds only the executables labelled `threads`. What follows is the command that runs
# it.
function(tidegate_test_executable exe label files modules libs)
  if(NOT TIDEGATE_TESTS OR NOT files OR
     (TIDEGATE_SANITIZE STREQUAL "thread" AND NOT label STREQUAL "threads"))
    return()
  endif()
  list(REMOVE_ITEM modules "")
  list(TRANSFORM modules PREPEND tidegate_)
  add_executable(${exe} ${files})
  if(NOT TARGET tidegate_tests)
    add_custom_target(tidegate_tests)
  endif()
  add_dependencies(tidegate_tests ${exe})
  target_link_libraries(${exe} PRIVATE ${modules} ${libs} GTest::gmock GTest::gtest_main)
  # Of what is only run once the compiler's time is the longer one: without optimisation it is half.
  target_compile_options(${exe} PRIVATE -O0)
  target_compile_definitions(${exe} PRIVATE TIDEGATE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                             TIDEGATE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  # One ctest entry per executable: starting a sanitized process per case costs more than the cases.
  add_test(NAME ${exe} COMMAND ${ARGN} $<TARGET_FILE:${exe}> --gtest_brief=1)
  set_tests_properties(${exe} PROPERTIES LABELS ${label} TIMEOUT 600)
endfunction()

# Arrows only go down, and the two towers meet only in src/protocol. Called once, after every module
# is known, because a dependency may be declared before its target.
function(tidegate_check_layers)
  get_property(modules GLOBAL PROPERTY TIDEGATE_MODULES)
  set(lines "")
  foreach(m ${modules})
    get_property(layer GLOBAL PROPERTY TIDEGATE_LAYER_${m})
    get_property(tower GLOBAL PROPERTY TIDEGATE_TOWER_${m})
    get_property(deps GLOBAL PROPERTY TIDEGATE_DEPS_${m})
    get_property(dir GLOBAL PROPERTY TIDEGATE_DIR_${m})
    foreach(d ${deps})
      get_property(dep_layer GLOBAL PROPERTY TIDEGATE_LAYER_${d})
      get_property(dep_tower GLOBAL PROPERTY TIDEGATE_TOWER_${d})
      if(NOT DEFINED dep_layer OR dep_layer STREQUAL "")
        message(FATAL_ERROR "module ${m} depends on ${d}, which is no module")
      endif()
      if(dep_layer GREATER layer)
        message(FATAL_ERROR "module ${m} (L${layer}) may not link ${d} (L${dep_layer}): arrows only go down")
      endif()
      if(dep_layer EQUAL layer AND NOT (tower AND tower STREQUAL dep_tower) AND NOT d STREQUAL "protocol")
        message(FATAL_ERROR "module ${m} may not link ${d}: they share L${layer}, but no tower")
      endif()
      if(tower AND dep_tower AND NOT tower STREQUAL dep_tower)
        message(FATAL_ERROR "module ${m} (${tower}) may not link ${d} (${dep_tower}): the towers meet in src/protocol")
      endif()
      if(dep_layer EQUAL 3 AND tower STREQUAL "control" AND layer GREATER 3 AND
         NOT "${m} ${d}" STREQUAL "worker launch")
        message(FATAL_ERROR "module ${m} (L${layer}) may not link the implementation ${d} (L3): only src/app does")
      endif()
    endforeach()
    file(RELATIVE_PATH rel ${CMAKE_SOURCE_DIR} ${dir})
    get_property(test_deps GLOBAL PROPERTY TIDEGATE_TEST_DEPS_${m})
    get_property(files GLOBAL PROPERTY TIDEGATE_FILES_${m})
    string(REPLACE ";" "," row "${m}|${layer}|${rel}|${deps}|${test_deps}|${files}")
    string(APPEND lines "${row}\n")
  endforeach()
  # Read by tools/check_tree, which compares includes with these declarations.
  file(WRITE ${CMAKE_BINARY_DIR}/modules.txt "${lines}")
endfunction()
