# SPDX-License-Identifier: MIT
#
# DWAL_MUTANT=<name>: the tree with one planted bug of tests/mutants/list.txt.
# The changed copy lies in the build tree and takes the place of its original in
# the target that compiles it; nothing else is built anew.
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/mutants.py ${DWAL_MUTANT}
          ${PROJECT_BINARY_DIR}/mutants
  OUTPUT_VARIABLE planted RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "no mutant ${DWAL_MUTANT}")
endif()
list(GET planted 0 mutant_file)
list(GET planted 1 mutant_copy)
get_filename_component(mutant_name ${mutant_file} NAME)
get_filename_component(mutant_folder ${mutant_file} DIRECTORY)
set(mutant_found FALSE)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  "${CMAKE_CURRENT_LIST_DIR}/list.txt" "${PROJECT_SOURCE_DIR}/${mutant_file}")
foreach(target IN ITEMS dwal_format dwal_recover dwal_src dwal_fsck dwal_cli)
  get_target_property(sources ${target} SOURCES)
  get_target_property(folder ${target} SOURCE_DIR)
  if(NOT folder STREQUAL "${PROJECT_SOURCE_DIR}/${mutant_folder}" OR
     NOT mutant_name IN_LIST sources)
    continue()
  endif()
  list(TRANSFORM sources REPLACE "^${mutant_name}$" "${mutant_copy}")
  set_target_properties(${target} PROPERTIES SOURCES "${sources}")
  # It finds its neighbours where they are.
  set_source_files_properties(${mutant_copy} TARGET_DIRECTORY ${target}
    PROPERTIES COMPILE_OPTIONS "-iquote${folder}")
  set(mutant_found TRUE)
endforeach()
if(NOT mutant_found)
  message(FATAL_ERROR "${mutant_file} is compiled by no target that is known here")
endif()
message(STATUS "mutant ${DWAL_MUTANT}: ${mutant_copy}")
