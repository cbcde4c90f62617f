# SPDX-License-Identifier: MIT
#
# What `cmake --install` puts where. Three components, which are the Debian
# packages, too: runtime (the shared library), dev, tools. What is installed
# names no directory of the build, so the tree may be moved as a whole.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/dwal")

# ---- the library ----
install(TARGETS dwal_shared EXPORT dwalTargets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT runtime
          NAMELINK_COMPONENT dev)
install(TARGETS dwal EXPORT dwalTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT dev)
install(FILES "${PROJECT_SOURCE_DIR}/src/dwal.h"
              "${PROJECT_SOURCE_DIR}/format/dwal_error.h"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT dev)

# ---- for CMake: find_package(dwal) ----
install(EXPORT dwalTargets NAMESPACE dwal:: DESTINATION "${package_dir}"
  COMPONENT dev)
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/dwalConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/dwalConfig.cmake" INSTALL_DESTINATION "${package_dir}"
  NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the API, as Semantic Versioning has it.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/dwalConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/dwalConfig.cmake"
              "${PROJECT_BINARY_DIR}/dwalConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/FindLibAIO.cmake"
  DESTINATION "${package_dir}" COMPONENT dev)

# ---- for everything else: dwal.pc ----
# Relative to where dwal.pc lies, unless the directories are absolute.
file(RELATIVE_PATH pc_prefix "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
set(pc_prefix "\${pcfiledir}/${pc_prefix}")
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
endif()
foreach(kind IN ITEMS LIB INCLUDE)
  set(pc_${kind} "${CMAKE_INSTALL_${kind}DIR}")
  if(NOT IS_ABSOLUTE "${pc_${kind}}")
    set(pc_${kind} "\${prefix}/${pc_${kind}}")
  endif()
endforeach()
set(pc_crc_isal libisal)
set(pc_crc_libdeflate libdeflate)
set(pc_crc_zlib zlib)
set(pc_crc "${pc_crc_${DWAL_CRC_NAME}}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/dwal.pc.in"
  "${PROJECT_BINARY_DIR}/dwal.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/dwal.pc"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT dev)

# ---- the tools ----
set(tools walput waldump walfsck)
if(TARGET walbench)
  list(APPEND tools walbench)
endif()
if(DWAL_TOOLS)
  foreach(tool IN LISTS tools)
    set(dir "${CMAKE_INSTALL_BINDIR}")
    set(section 1)
    if(tool STREQUAL "walfsck")
      set(dir "${CMAKE_INSTALL_SBINDIR}")
      set(section 8)
    endif()
    install(TARGETS ${tool} RUNTIME DESTINATION "${dir}" COMPONENT tools)
    install(FILES "${PROJECT_SOURCE_DIR}/man/${tool}.${section}"
      DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}" COMPONENT tools)
    install(FILES "${PROJECT_SOURCE_DIR}/completions/${tool}"
      DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
      COMPONENT tools)
    install(FILES "${PROJECT_SOURCE_DIR}/completions/_${tool}"
      DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions" COMPONENT tools)
  endforeach()
  install(FILES "${PROJECT_SOURCE_DIR}/man/dwal.5"
    DESTINATION "${CMAKE_INSTALL_MANDIR}/man5" COMPONENT tools)
endif()

# ---- the manual of the library ----
# A page for each function: its own, or the one that its .so line names.
install(DIRECTORY "${PROJECT_SOURCE_DIR}/man/"
  DESTINATION "${CMAKE_INSTALL_MANDIR}/man3" COMPONENT dev
  FILES_MATCHING PATTERN "*.3" PATTERN "dwal_raft*" EXCLUDE)
install(FILES "${PROJECT_SOURCE_DIR}/SPEC.md"
  DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT dev)

# ---- adapters/raft ----
# A component of its own, since it needs libraft and libuv; in no package yet.
if(TARGET dwal_raft)
  install(TARGETS dwal_raft_shared EXPORT dwalRaftTargets
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT raft)
  install(TARGETS dwal_raft EXPORT dwalRaftTargets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT raft)
  install(FILES "${PROJECT_SOURCE_DIR}/adapters/raft/dwal_raft.h"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT raft)
  install(EXPORT dwalRaftTargets NAMESPACE dwal:: DESTINATION "${package_dir}"
    COMPONENT raft)
  configure_file("${PROJECT_SOURCE_DIR}/adapters/raft/dwal-raft.pc.in"
    "${PROJECT_BINARY_DIR}/dwal-raft.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/dwal-raft.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT raft)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/man/"
    DESTINATION "${CMAKE_INSTALL_MANDIR}/man3" COMPONENT raft
    FILES_MATCHING PATTERN "dwal_raft*.3")
endif()
