# tidegate_embed(TARGET FILE SYMBOL): the bytes of FILE as `SYMBOL_begin` … `SYMBOL_end` in TARGET.
#
# By .incbin: a large file costs no compile time, as an array of numbers would.
function(tidegate_embed target file symbol)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT [[
asm(R"(
  .section .rodata
  .balign 16
  .global @symbol@_begin
@symbol@_begin:
  .incbin "@file@"
  .global @symbol@_end
@symbol@_end:
  .byte 0
  .previous
)");
]] @ONLY)
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS ${file})
  target_sources(${target} PRIVATE ${source} ${file})
endfunction()
