# SPDX-License-Identifier: Apache-2.0
# find_package(blobseal): blobseal::blobseal is the shared library and needs nothing else. blobseal::static is the
# static library, which needs other libraries. To fail early if one of them is missing, request COMPONENTS static.

# The exported static target refers to these libraries by the target names used in the build.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads QUIET)
find_package(OpenSSL 3.0 QUIET COMPONENTS Crypto)
find_package(PkgConfig QUIET)
set(blobseal_needs Threads::Threads OpenSSL::Crypto)
macro(find_blobseal_module name module) # for libraries that CMake can find only through pkg-config
  if(PKG_CONFIG_FOUND AND NOT TARGET PkgConfig::${name})
    pkg_check_modules(${name} QUIET IMPORTED_TARGET ${module})
  endif()
  list(APPEND blobseal_needs PkgConfig::${name})
endmacro()
find_blobseal_module(XXHASH libxxhash>=0.8.0)
find_blobseal_module(ZSTD libzstd>=1.4.0)
if("@BLOBSEAL_PKCS11@")
  find_blobseal_module(P11KIT p11-kit-1>=0.24)
endif()

set(blobseal_static_FOUND TRUE)
set(blobseal_missing "")
foreach(target ${blobseal_needs})
  if(NOT TARGET ${target})
    list(APPEND blobseal_missing ${target})
  endif()
endforeach()
if(blobseal_missing)
  set(blobseal_static_FOUND FALSE)
  if(blobseal_FIND_REQUIRED_static)
    set(blobseal_FOUND FALSE)
    list(JOIN blobseal_missing " and " blobseal_missing)
    set(blobseal_NOT_FOUND_MESSAGE "blobseal::static needs ${blobseal_missing}, which was not found")
  endif()
endif()

include(${CMAKE_CURRENT_LIST_DIR}/blobseal-targets.cmake)
