# SPDX-License-Identifier: MIT
#
# Run by cpack over the staged files of each package: adds what Debian wants
# beside them, the licence and two changelogs, and compresses the manual. Byte
# for byte the same whenever it is run (gzip -n).
set(packages_runtime libdwal0)
set(packages_dev libdwal-dev)
set(packages_tools dwal-tools)

function(compress)
  execute_process(COMMAND gzip -9nf ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Links to other pages (".so man3/x.3") are compressed like the pages.
function(stage_manual root)
  file(GLOB_RECURSE pages "${root}/usr/share/man/*.[0-9]")
  if(pages)
    compress(${pages})
  endif()
endfunction()

function(stage_documents root package)
  set(doc "${root}/usr/share/doc/${package}")
  file(GLOB_RECURSE other "${root}/usr/share/doc/dwal/*")
  foreach(file IN LISTS other)
    file(COPY "${file}" DESTINATION "${doc}")
  endforeach()
  file(REMOVE_RECURSE "${root}/usr/share/doc/dwal")
  file(READ "${CPACK_DWAL_SOURCE_DIR}/LICENSE" license)
  file(WRITE "${doc}/copyright" "${license}")
  configure_file("${CPACK_DWAL_SOURCE_DIR}/CHANGELOG.md" "${doc}/changelog" COPYONLY)
  configure_file("${CPACK_DWAL_SOURCE_DIR}/cmake/debian/changelog"
    "${doc}/changelog.Debian" COPYONLY)
  compress("${doc}/changelog" "${doc}/changelog.Debian")
  file(GLOB_RECURSE files "${root}/usr/share/*")
  file(CHMOD ${files} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endfunction()

foreach(component IN ITEMS runtime dev tools)
  set(root "${CPACK_TEMPORARY_DIRECTORY}/${component}")
  if(IS_DIRECTORY "${root}")
    stage_manual("${root}")
    stage_documents("${root}" "${packages_${component}}")
    file(GLOB_RECURSE libraries "${root}/usr/lib/*.so.*")
    foreach(library IN LISTS libraries)
      if(NOT IS_SYMLINK "${library}")
        file(CHMOD "${library}" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
      endif()
    endforeach()
  endif()
endforeach()
