#!/bin/sh
# Turns text files into a C table, so that the library carries them: embed.sh TABLE FILE... prints
#   const AdvText TABLE[] = { {"name", lines, n_lines}, ... };   name is the file's name without folder and ending
# A line is one string, so that no string literal grows beyond what compilers promise to take.
set -eu
table=$1
shift
printf '/* made by embed.sh */\n#include "compiler/embed.h"\n'
for f in "$@"; do
  name=$(basename "$f" | sed 's/\.[^.]*$//')
  printf 'static const char *const %s_%s[] = {\n' "$table" "$name"
  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n",/' "$f"
  printf '};\n'
done
printf 'const AdvText %s[] = {\n' "$table"
for f in "$@"; do
  name=$(basename "$f" | sed 's/\.[^.]*$//')
  printf '  {"%s", %s_%s, sizeof %s_%s / sizeof *%s_%s},\n' "$name" "$table" "$name" "$table" "$name" "$table" "$name"
done
printf '  {0, 0, 0},\n};\n'
