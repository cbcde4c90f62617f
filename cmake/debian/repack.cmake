# SPDX-License-Identifier: MIT
#
# Run by cpack on the finished packages: takes away the scripts by which it has
# ldconfig called. The trigger of the package does that, once for all packages
# that are installed together, as Debian wants it.
foreach(package IN LISTS CPACK_PACKAGE_FILES)
  if(package MATCHES "/libdwal0_[^/]*\\.deb$")
    set(tree "${CPACK_TOPLEVEL_DIRECTORY}/repack")
    file(REMOVE_RECURSE "${tree}")
    execute_process(COMMAND dpkg-deb --raw-extract "${package}" "${tree}"
      COMMAND_ERROR_IS_FATAL ANY)
    file(REMOVE "${tree}/DEBIAN/postinst" "${tree}/DEBIAN/postrm")
    execute_process(COMMAND dpkg-deb --root-owner-group --build "${tree}" "${package}"
      OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
    file(REMOVE_RECURSE "${tree}")
  endif()
endforeach()
