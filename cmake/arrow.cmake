# Arrow C++: an installed one where there is one, else the one inside the pyarrow wheel that
# ./dev setup puts into .tools (headers and versioned libraries; the names without a version are
# links made by ./dev setup).
find_package(Arrow QUIET CONFIG)
find_package(Parquet QUIET CONFIG)
if(Arrow_FOUND AND Parquet_FOUND)
  add_library(tidegate_arrow INTERFACE)
  target_link_libraries(tidegate_arrow INTERFACE Arrow::arrow_shared Parquet::parquet_shared)
else()
  file(GLOB _pyarrow ${CMAKE_SOURCE_DIR}/.tools/venv/lib/python3*/site-packages/pyarrow)
  if(NOT _pyarrow)
    message(FATAL_ERROR "Arrow C++ is missing: no ArrowConfig.cmake and no pyarrow wheel in .tools. "
                        "Run ./dev setup.")
  endif()
  add_library(tidegate_arrow INTERFACE)
  # SYSTEM: its warnings are not ours.
  target_include_directories(tidegate_arrow SYSTEM INTERFACE ${_pyarrow}/include)
  file(GLOB _arrow_so ${_pyarrow}/libarrow.so.*)
  file(GLOB _parquet_so ${_pyarrow}/libparquet.so.*)
  # The wheel's libparquet exports an OpenSSL of its own. The system's comes before it, or a client library
  # that speaks TLS calls half of the one and half of the other, and the process crashes.
  target_link_options(tidegate_arrow INTERFACE
    -Wl,--push-state,--no-as-needed,${OPENSSL_SSL_LIBRARY},${OPENSSL_CRYPTO_LIBRARY},--pop-state)
  target_link_libraries(tidegate_arrow INTERFACE ${_parquet_so} ${_arrow_so})
  target_link_options(tidegate_arrow INTERFACE -Wl,-rpath,${_pyarrow})
endif()
add_library(arrow::arrow ALIAS tidegate_arrow)
