# ./dev build, demo, fuzz; sourced by ./dev.

configure() { cmake --preset "$1" -DCMAKE_POLICY_DEFAULT_CMP0077=NEW; }
compile() {
  local preset=$1
  shift
  ninja -C "build/$preset" -j "$JOBS" "$@"
}

BUILD_STEPS=2
run_build() {
  step "Configure the release build" configure-release configure release
  step "Build tidegate and tidegate-sync" build-release compile release tidegate tidegate-sync
}

run_package() {
  step "Make the packages" package .tools/venv/bin/python tools/package "$@"
  sed 's/^/      /' build/log/package.log
  echo "      in build/package/"
}

# What tools/soak runs beside the servers. The simulation without sanitizers: many times as many lives in the same time.
run_build_soak() {
  step "Configure the optimized simulation" configure-bench configure bench
  step "Build the optimized simulation" build-sim compile bench sim_test
  step "Build the cron oracle" build-oracle compile release cron_oracle
  step "Configure the ASan+UBSan build" configure-asan configure asan
  step "Build the unit and contract tests" build-asan compile asan tidegate_tests
}

run_demo() {
  # exec: Ctrl-C and the exit code are the demo's own.
  exec .tools/venv/bin/python tools/demo.py "$@"
}

fuzz_one() {
  local target=$1 seconds=$2 corpus=build/corpus/$1
  mkdir -p "$corpus"
  local seeds=fuzz/seeds/${target%_fuzz}
  [ -d "$seeds" ] || seeds=
  "build/fuzz/bin/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$corpus/../$target-" "$corpus" $seeds
}

run_fuzz() {
  local seconds=${1:-60} target targets
  case "$seconds" in *[!0-9]* | '') echo "./dev fuzz: '$seconds' is not a number of seconds" >&2; exit 2 ;; esac
  targets=$(ls fuzz/*_fuzz.cc | xargs -n1 basename | sed 's/\.cc$//')
  plan_steps $((SETUP_STEPS + 2 + $(echo "$targets" | wc -w)))
  run_setup
  step "Configure the fuzz build" configure-fuzz configure fuzz
  step "Build the fuzz targets" build-fuzz compile fuzz $targets
  for target in $targets; do
    step "Fuzz $target for $seconds s" "fuzz-$target" fuzz_one "$target" "$seconds"
    grep -E 'stat::(number_of_executed_units|average_exec_per_sec)' "build/log/fuzz-$target.log" | sed 's/^/      /'
  done
}
