#!/bin/sh
# quickstart.sh: from a fresh clone to a trained and attacked network: packages, build, MNIST, then the main job.
#
#   tools/quickstart.sh [--toy]
#
# Compiles recipes/quickstart.adv and runs the plan: adversarial training of a small network on real digits with a radius
# that is learned for each of them, in about three minutes on two cores. With --toy, or where no network answers, it runs
# recipes/toy-gaussians.adv instead, which needs no data. Works again when run again.
set -eu

cd "$(dirname "$0")/.."

echo "quickstart: 1/4 packages"
tools/deps.sh data

echo "quickstart: 2/4 build in build/"
how=
if [ -f build/build.ninja ]; then how=--reconfigure; fi
mkdir -p build
# shellcheck disable=SC2086
meson setup $how build -Dbuildtype=release >build/quickstart.log 2>&1 || { tail -n 30 build/quickstart.log; exit 70; }
ninja -C build tools/advc tools/advrun tools/advdata >>build/quickstart.log 2>&1 || { tail -n 30 build/quickstart.log; exit 70; }
PATH=$PWD/build/tools:$PATH
export PATH

if [ "${1:-}" = --toy ]; then
  echo "quickstart: 3/4 no data is needed"
  recipe=recipes/toy-gaussians.adv
elif echo "quickstart: 3/4 MNIST" && advdata fetch mnist; then
  recipe=recipes/quickstart.adv
else
  echo "quickstart: MNIST cannot be fetched here; going on with recipes/toy-gaussians.adv, which needs no data"
  recipe=recipes/toy-gaussians.adv
fi

echo "quickstart: 4/4 advc $recipe && advrun out.plan"
advc "$recipe" && advrun out.plan
