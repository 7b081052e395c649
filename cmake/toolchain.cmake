# Language level, warnings, optimisation and sanitizers, the same for every module.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "Tidegate needs clang 19 or newer (found ${CMAKE_CXX_COMPILER_ID} "
                      "${CMAKE_CXX_COMPILER_VERSION}). Run ./dev setup, then use a CMake preset.")
endif()

# Arrow's headers spell C++23 features that libstdc++ 12 lacks only behind feature tests; ours are checked.
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers -Werror
                    -fno-omit-frame-pointer -fstack-protector-strong)
add_link_options(-fuse-ld=mold)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG -g1 -D_FORTIFY_SOURCE=2")
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_link_options(-Wl,--gc-sections -Wl,-z,relro,-z,now)
  add_compile_options(-ffunction-sections -fdata-sections)
endif()
if(TIDEGATE_SANITIZE)
  add_compile_options(-O1 -g1 -fsanitize=${TIDEGATE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TIDEGATE_SANITIZE})
endif()
